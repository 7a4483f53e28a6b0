"""`python -m integrations.sandbox`: the sandbox without Django's settings."""

from __future__ import annotations

from argparse import ArgumentParser

from integrations.sandbox.options import add_arguments, options_from
from integrations.sandbox.server import serve

if __name__ == "__main__":
    parser = ArgumentParser(description="A stand-in GitHub for demos, tests and benchmarks.")
    add_arguments(parser)
    serve(options_from(vars(parser.parse_args())))
