"""An app for a worker under test alone: its actors fail with secrets in what they raise."""
