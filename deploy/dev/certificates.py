"""TLS between the services of a stack: an authority of its own, and a certificate per service. Nobody else knows them."""

import secrets
import shutil

from bus import SERVICES
from keys import openssl
from state import Failed, State, write

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
RENEW_SECS = 30 * 24 * 3600  # before they end; a running service takes up the new one
CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[service]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:{name}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def choose(state: State, wanted: bool | None) -> None:
    """TLS on or off; None leaves it as it was. On, whatever is missing or about to end is made."""
    if wanted is False:
        shutil.rmtree(state.tls, ignore_errors=True)
    elif wanted or state.tls.is_dir():
        state.tls.mkdir(exist_ok=True, mode=0o700)
        make_authority(state)
        for service in SERVICES:
            make_certificate(state, service)


def settings(state: State, service: str) -> dict[str, str]:
    if not state.tls.is_dir():
        return {}
    return {"SHEQUN_TLS_CERT": str(state.tls / f"{service}.pem"), "SHEQUN_TLS_KEY": str(state.tls / f"{service}.key"),
            "SHEQUN_TLS_CA": str(state.tls / "authority.pem")}


def make_authority(state: State) -> None:
    if (state.tls / "authority.pem").exists():
        return
    key, config = make_key(state, "authority")
    made = openssl("req", "-x509", "-new", "-key", key, "-config", config, "-extensions", "authority",
                   "-days", str(AUTHORITY_DAYS))
    write(state.tls / "authority.pem", made.decode())


def make_certificate(state: State, service: str) -> None:
    path = state.tls / f"{service}.pem"
    if path.exists() and lasts(path):
        return
    key, config = make_key(state, service)
    request = openssl("req", "-new", "-key", key, "-config", config)
    made = openssl("x509", "-req", "-CA", str(state.tls / "authority.pem"), "-CAkey", str(state.tls / "authority.key"),
                   "-set_serial", str(secrets.randbits(63) + 1), "-days", str(CERTIFICATE_DAYS),
                   "-extfile", config, "-extensions", "service", given=request)
    write(path, made.decode())


def make_key(state: State, name: str) -> tuple[str, str]:
    """The key's path, and that of what OpenSSL is to know of its certificate."""
    key, config = state.tls / f"{name}.key", state.tls / f"{name}.cnf"
    if not key.exists():
        write(key, openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").decode())
    write(config, CONFIG.format(name=name))
    return str(key), str(config)


def lasts(path) -> bool:
    try:
        openssl("x509", "-in", str(path), "-noout", "-checkend", str(RENEW_SECS))
    except Failed:
        return False
    return True
