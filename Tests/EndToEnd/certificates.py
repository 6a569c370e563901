"""Certificates for one test run, made by the `openssl` program."""

import os
import subprocess


class Authority:
    """A root and what it has signed, as PEM files in one directory."""

    def __init__(self, directory, name):
        self.directory = str(directory)
        self.name = name
        self.key = self._key(name)
        self.certificate = self.path(f"{name}.pem")
        self._openssl(
            "req", "-x509", "-new", "-key", self.key, "-subj", f"/CN={name}", "-days", "2",
            "-addext", "basicConstraints=critical,CA:TRUE", "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.directory, name)

    def sign(self, name, alternatives="DNS:localhost,IP:127.0.0.1"):
        """The paths of a certificate and its key. Made anew if they are there."""
        key, request, extensions = self._key(name), self.path("request"), self.path("extensions")
        certificate = self.path(f"{name}.pem")
        with open(extensions, "w") as file:
            file.write(f"subjectAltName={alternatives}\n")
        self._openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
            "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key

    def _key(self, name):
        key = self.path(f"{name}.key")
        self._openssl(
            "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        os.chmod(key, 0o600)
        return key

    @staticmethod
    def _openssl(*arguments):
        ended = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def contents(path):
    with open(path, "rb") as file:
        return file.read()
