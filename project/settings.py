"""The one settings file. Everything comes from the environment, with defaults that run.

A bad value stops the process with the variable's name; see README.md, "Configuration".
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import django_stubs_ext
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from project.broker import read_broker
from project.environment import Environment, numbered
from project.github_app import read_app, read_webhook_secrets
from project.grip import read_grip_proxies
from project.logs import configure_logs

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = Environment()
environ.Env.read_env(BASE_DIR / ".env")

# -- Secrets. A checkout without any is for development; giving SECRET_KEY makes it production.
DEVELOPMENT_SECRET = "not-a-secret-for-development-only"
SECRET_KEY = env.str("SECRET_KEY", default=DEVELOPMENT_SECRET)
DEBUG = env.flag("DEBUG", default=SECRET_KEY == DEVELOPMENT_SECRET)
FIELD_ENCRYPTION_KEYS = env.fernet_keys("FIELD_ENCRYPTION_KEYS")
if not FIELD_ENCRYPTION_KEYS and DEBUG:
    FIELD_ENCRYPTION_KEYS = [
        base64.urlsafe_b64encode(hashlib.sha256(SECRET_KEY.encode()).digest()).decode()
    ]
if not DEBUG and SECRET_KEY in {"", DEVELOPMENT_SECRET}:
    raise ImproperlyConfigured("SECRET_KEY is not set. Production needs a secret of its own.")
if not FIELD_ENCRYPTION_KEYS:
    raise ImproperlyConfigured(
        "FIELD_ENCRYPTION_KEYS is not set. Production needs at least one Fernet key (newest first)."
    )

ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"] if DEBUG else [])
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS")

# -- What it is made of.
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "csp",
    "django_htmx",
    "django_dramatiq",
    "django_eventstream",
    "integrations",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "project.headers.response_headers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "project.full_disk.FullDiskMiddleware",
    "project.headers.in_one_thread",
]

ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "integrations.views.context.bar",
            ],
        },
    },
]

# -- Database. SQLite: readers never block (WAL), writers queue up instead of failing.
_own_file = VAR_DIR / "rollcall.sqlite3"
DATABASES = {"default": env.database("DATABASE_URL", default=f"sqlite:///{_own_file}")}
if DATABASES["default"]["NAME"] == str(_own_file):
    # Elsewhere the code may be read-only.
    VAR_DIR.mkdir(exist_ok=True)
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["ENGINE"] = "project.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["ENGINE"] = "project.postgresql"
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
        "min_size": 1,
        "max_size": env.count("DATABASE_POOL_SIZE", default=16, at_least=1),
        "timeout": 10,  # seconds to wait for a connection
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- Redis or Valkey: database 0 for the live channel, 1 for the broker, which scans its own keys.
# The broker may be elsewhere, or RabbitMQ; the live channel and the telemetry stay here.
REDIS_URL = env.redis_address("REDIS_URL", default="redis://127.0.0.1:6379")
LIVE_REDIS_URL = numbered(REDIS_URL, 0)
BROKER_NAMESPACE = env.word("BROKER_NAMESPACE", default="rollcall")
_broker = read_broker(env, default=numbered(REDIS_URL, 1), namespace=BROKER_NAMESPACE)
# Empty when the broker is RabbitMQ.
BROKER_REDIS_URL = _broker.redis_url

# Counts attempts to sign in, over all web processes.
CACHES = {
    "default": {
        "BACKEND": "project.cache.SharedCache",
        "LOCATION": LIVE_REDIS_URL,
        "KEY_PREFIX": f"{BROKER_NAMESPACE}:cache",
    }
}

DRAMATIQ_BROKER = {
    "BROKER": _broker.path,
    "OPTIONS": _broker.options,
    "MIDDLEWARE": [
        "django_dramatiq.middleware.DbConnectionsMiddleware",
        "dramatiq.middleware.AgeLimit",
        "dramatiq.middleware.TimeLimit",
        "dramatiq.middleware.ShutdownNotifications",
        "dramatiq.middleware.Callbacks",
        _broker.worker_middleware,
        "integrations.broker.StopSignal",
        "integrations.broker.LogOutcome",
        "integrations.telemetry.worker_report.WorkerReport",
        "integrations.telemetry.history.MessageHistory",
        "integrations.broker.SafeRetries",
        "dramatiq.middleware.CurrentMessage",
    ],
}
DRAMATIQ_AUTODISCOVER_MODULES = ["tasks"]

EVENTSTREAM_STORAGE_CLASS = "integrations.live.replay.RowStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "integrations.live.channels.TeamChannels"
# Pushpins that hold the streams (docs/pushpin.md). None: the web processes do.
GRIP_PROXIES = read_grip_proxies(env.str("GRIP_URL", default=""))

# -- GitHub. These two addresses point the whole product at another GitHub, the sandbox included.
GITHUB_URL = env.site_address("GITHUB_URL", default="https://github.com")
GITHUB_API_URL = env.web_address("GITHUB_API_URL", default="https://api.github.com")
GITHUB_CLIENT_ID = env.str("GITHUB_CLIENT_ID", default="")
GITHUB_CLIENT_SECRET = env.str("GITHUB_CLIENT_SECRET", default="")
env.all_or_none("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET")
_app = read_app(env)
GITHUB_APP_CONFIGURED = _app.is_configured
GITHUB_APP_ID = _app.id
GITHUB_APP_SLUG = _app.slug
GITHUB_APP_CLIENT_ID, GITHUB_APP_CLIENT_SECRET = _app.client_id, _app.client_secret
GITHUB_APP_PRIVATE_KEY = _app.private_key
# Where people install it; a GitHub Enterprise Server has it under /github-apps/<slug>.
GITHUB_APP_URL = env.web_address("GITHUB_APP_URL", default=f"{GITHUB_URL}/apps/{GITHUB_APP_SLUG}")
# Newest first, so that one can be replaced without losing a delivery. None: no webhooks (404).
GITHUB_WEBHOOK_SECRETS = read_webhook_secrets(env)

# -- Accounts.
AUTH_USER_MODEL = "integrations.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_ADAPTER = "integrations.views.account_adapter.AccountAdapter"
ACCOUNT_SIGNUP_FORM_CLASS = "integrations.views.accounts.TeamSignupForm"
ACCOUNT_EMAIL_VERIFICATION = env.choice(
    "ACCOUNT_EMAIL_VERIFICATION",
    ["mandatory", "optional", "none"],
    default="optional" if DEBUG else "mandatory",
)
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
# Rate limits of allauth read the peer's address; behind a proxy it comes in a header.
TRUSTED_PROXY_COUNT = env.count("TRUSTED_PROXY_COUNT", default=0, at_least=0)
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXY_COUNT

# Where people reach us: for the links in messages that no request asked for.
SITE_URL = env.site_address("SITE_URL", default="http://127.0.0.1:8000")
vars().update(env.email("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env.sender("DEFAULT_FROM_EMAIL", default="Rollcall <rollcall@localhost>")

# -- Security. Cookies and redirects follow the scheme that people use.
HTTPS = env.flag("HTTPS", default=not DEBUG)
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = HTTPS
# Asked by machines beside this one, past the proxy.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
if HTTPS:
    # Browsers take such a name from this very host over https only: no neighbour below the same
    # domain can plant a session. https://www.rfc-editor.org/rfc/rfc6265#section-8.6
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "base-uri": [NONE],
        "connect-src": [SELF],
        "font-src": [SELF],
        "form-action": [SELF, GITHUB_URL],
        "frame-ancestors": [NONE],
        "img-src": [SELF, "data:"],
        "manifest-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
    },
}

# -- Words, times, files.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "integrations" / "locale"]
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# -- Logs: one line an event, keys beside it; JSON in production.
LOGGING = configure_logs(
    level=env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], default="INFO"),
    is_json=not DEBUG,
)

# -- Operations. Without a token only signed-in staff may read /metrics.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
SENTRY_DSN = env.secret_address("SENTRY_DSN")
if SENTRY_DSN:
    # Its import takes a second, which nobody without Sentry should wait at every start.
    import_string("project.sentry.configure_sentry")(
        SENTRY_DSN,
        environment=env.str("SENTRY_ENVIRONMENT", default="development" if DEBUG else "production"),
        traces_sample_rate=env.share("SENTRY_TRACES_SAMPLE_RATE", default=0.0),
    )
