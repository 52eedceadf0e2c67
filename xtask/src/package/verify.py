"""Asks PyPI's signify whether files are in a catalog that is signed: verify.py AUTHORITY.pem X.cat MEMBER..."""

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

authority, catalog, *members = sys.argv[1:]
store = CertificateStore(list(Certificate.from_pems(pathlib.Path(authority).read_bytes())), trusted=True)
for path in members:
    with open(path, "rb") as member, open(catalog, "rb") as listing:
        file = AuthenticodeFile.from_stream(member, file_name=path, allow_flat=True)
        file.add_catalog(listing, check=True)
        file.verify(multi_verify_mode="all", signature_types="catalog", trusted_certificate_store=store)
