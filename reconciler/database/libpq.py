"""Which of libpq's own environment variables hold: those that keep a login safe, none that says where it goes.

LiteLLM's Prisma reads none of them, so that where and as whom to connect is what the URL says, and nothing else: a
`PGHOSTADDR` that was set for another program would send the login, and the ledger, to another server.
"""

import os
import re

NOT_READ = (
    "PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGOPTIONS", "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS", "PGCLIENTENCODING", "PGAPPNAME", "PGTZ", "PGDATESTYLE", "PGGEQO", "PGCONNECT_TIMEOUT",
    "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION",
)  # fmt: skip
"""What would change where, as whom or how a session begins."""

READ = (
    "PGSSLMODE", "PGSSLNEGOTIATION", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCERTMODE", "PGSSLCRL",
    "PGSSLCRLDIR", "PGSSLSNI", "PGREQUIRESSL", "PGSSLMINPROTOCOLVERSION", "PGSSLMAXPROTOCOLVERSION", "PGREQUIREAUTH",
    "PGCHANNELBINDING", "PGREQUIREPEER", "PGGSSENCMODE", "PGKRBSRVNAME", "PGGSSLIB", "PGPASSFILE", "PGSERVICEFILE",
)  # fmt: skip
"""What says how a connection is secured and where its secrets are; `PGPASSWORD` as well, which is never told."""


def leave_out() -> None:
    """Take what is not read out of this process's environment, which libpq reads by itself."""
    for name in NOT_READ:
        os.environ.pop(name, None)


_OPENSSL_FAILS = re.compile(r"could not (generate nonce|create SSL context)|no ciphers", re.ASCII)
"""How libpq says that OpenSSL does not work in this process."""


def blamed(said: str) -> list[str]:
    """The variables whose value libpq speaks of in its words, or that keep OpenSSL from its work."""
    named = [name for name in READ if (value := os.environ.get(name)) and value in said]
    openssl = ["OPENSSL_CONF"] if os.environ.get("OPENSSL_CONF") and _OPENSSL_FAILS.search(said) else []
    return named + openssl
