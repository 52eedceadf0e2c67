"""Asks PyPI's signify: verify.py [--time-stamped] AUTHORITY.pem TIMESTAMP-AUTHORITY.pem CATALOG FILE...

Are the files in CATALOG, which is signed? With - for CATALOG: do their own signatures hold? A time stamp that is there has
to hold; with --time-stamped, each signature has to have one.
"""

import pathlib
import re
import sys

# oscrypto, which signify uses, expects one digit in each part of OpenSSL's version, and 3.0.19 has two.
search = re.search
re.search = lambda pattern, text, flags=0: search(
    pattern.replace(r"\d\.\d\.\d[a-z]*", r"\d\.\d\.\d+[a-z]*") if isinstance(pattern, str) else pattern, text, flags
)
from signify.authenticode import AuthenticodeFile  # noqa: E402
from signify.x509 import Certificate, CertificateStore  # noqa: E402

re.search = search

arguments = sys.argv[1:]
needs_stamp = arguments[0] == "--time-stamped"
authority, timestamp_authority, catalog, *members = arguments[needs_stamp:]


def certificates(path):
    return list(Certificate.from_pems(pathlib.Path(path).read_bytes()))


# signify has one store for who signs and who tells the time, so who signs is looked at again afterwards.
signers = {certificate.sha256_fingerprint for certificate in certificates(authority)}
store = CertificateStore(certificates(authority) + certificates(timestamp_authority), trusted=True)
for path in members:
    with open(path, "rb") as member:
        file = AuthenticodeFile.from_stream(member, file_name=path, allow_flat=True)
        kinds = "embedded"
        if catalog != "-":
            kinds = "catalog"
            with open(catalog, "rb") as listing:
                file.add_catalog(listing, check=True)
        found = file.verify(multi_verify_mode="all", signature_types=kinds, trusted_certificate_store=store)
        for signed_data, _, chains in found:
            if needs_stamp and signed_data.signer_info.countersigner is None:
                sys.exit(f"the signature of {path} has no time stamp")
            for chain in chains:
                if not any(certificate.sha256_fingerprint in signers for certificate in chain):
                    sys.exit(f"{path} is signed by another authority")
