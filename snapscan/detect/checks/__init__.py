"""Small pure questions asked of a candidate's value.

`Check = (value, window, rule) -> Evidence | None`; None: nothing to say. A rule's `refuse` names checks whose word against the value (a
weight below 0) ends the candidate; a word for it stays as evidence. `CHECKSUMS` are checks that can prove a value by arithmetic.
Every check is cheap (microseconds), looks at no clock, file or setting, and takes any bytes: values come from hostile images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from snapscan.detect.checks.checksum import github, gitlab, grafana, npm
from snapscan.detect.checks.decode import aws_account, basic_auth, bitlocker, docker_auth, jwt
from snapscan.detect.checks.entropy import entropy
from snapscan.detect.checks.pem import pem
from snapscan.detect.checks.placeholder import example_host, placeholder, reference
from snapscan.detect.checks.published import published
from snapscan.detect.checks.shape import digest, identifier, mixed, sequence, uncertain, uuid, word
from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

Check = Callable[[bytes, bytes, Rule], Evidence | None]

CHECKS: Mapping[str, Check] = {
    "aws-account": aws_account,
    "basic-auth": basic_auth,
    "bitlocker": bitlocker,
    "docker-auth": docker_auth,
    "entropy": entropy,
    "example-host": example_host,
    "hash": digest,
    "identifier": identifier,
    "jwt": jwt,
    "mixed": mixed,
    "pem": pem,
    "placeholder": placeholder,
    "published": published,
    "reference": reference,
    "sequence": sequence,
    "uncertain": uncertain,
    "uuid": uuid,
    "word": word,
}

CHECKSUMS: Mapping[str, Check] = {
    "github": github,
    "gitlab": gitlab,
    "grafana": grafana,
    "npm": npm,
}
