"""The keys that services sign their tokens with, made by OpenSSL."""

import base64
import hashlib
import shutil
import subprocess

from bus import SERVICES
from state import Failed, State, write, write_json


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    program = shutil.which("openssl")
    if not program:
        raise Failed("`openssl` is missing: it makes the services' keys and certificates", remedy="apt-get install openssl")
    done = subprocess.run([program, *arguments], input=given, capture_output=True)
    if done.returncode != 0:
        raise Failed(f"openssl {arguments[0]} failed", log=done.stderr.decode(errors="replace"),
                     remedy="Ed25519 needs OpenSSL >= 1.1.1")
    return done.stdout


def make_keys(state: State) -> None:
    """A private key per service and the public keys of all, made once."""
    peers = state.keys / "peer-keys.json"
    if peers.exists():
        return
    keys = []
    for service in SERVICES:
        path = state.keys / f"{service}.pem"
        if not path.exists():
            write(path, openssl("genpkey", "-algorithm", "ed25519").decode())
        public = openssl("pkey", "-in", str(path), "-pubout", "-outform", "DER")[-32:]  # the raw key ends the DER
        keys.append({"kid": f"{service}-{hashlib.sha256(public).hexdigest()[:8]}", "kty": "OKP", "crv": "Ed25519",
                     "x": base64.urlsafe_b64encode(public).decode().rstrip("="), "use": "sig", "alg": "EdDSA",
                     "iss": service})
    write_json(peers, {"keys": keys})
