"""What becomes of a path before it leaves the host."""

import base64
import random
import uuid
from collections.abc import Callable

import pytest

from agent.routes import CUT_AT, fold

NAMES = (
    "getUserAccountDetails DescribeReservedInstancesOfferings listNamespacedHorizontalPodAutoscaler "
    "getAWSDefaultServiceRole ListHITsForQualificationType DescribeDBClusterSnapshotAttributes XMLHttpRequestFactory "
    "oauth-authorization-server internationalization openid-configuration getIdentityProviderByIdentifier "
    "strengthsAndWeaknesses MailboxSettingsHTTPS horizontalpodautoscalers validatingwebhookconfigurations "
    "KNIGHTSBRIDGE_CATCHPHRASES put_bucket_access_control_list"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_a_long_name_stays(name: str) -> None:
    assert fold(f"/v1/{name}/7".encode()) == f"/v1/{name}/*"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/reset/kQwErTyUiOpAsDfGhJkLzXcV", "/reset/*"),
        ("/t/mzxwqbtkgpfjhdcrvlnswq", "/t/*"),
        ("/shop;jsessionid=secret/cart", "/shop;*/cart"),
        ("/a;x=1;y=2", "/a;*"),
        ("/" + "a" * (CUT_AT - 8) + "/secret", "/" + "a" * (CUT_AT - 8) + "/*"),
        ("/short/kQwEr", "/short/kQwEr"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_what_is_no_name_goes(path: str, route: str) -> None:
    assert fold(path.encode()) == route


def tokens(made: Callable[[random.Random], str], count: int = 10_000) -> list[str]:
    chance = random.Random(12)
    return [made(chance) for _ in range(count)]


def base64url(size: int) -> Callable[[random.Random], str]:
    return lambda chance: base64.urlsafe_b64encode(chance.randbytes(size)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("made", "most"),
    [
        (lambda chance: str(uuid.UUID(int=chance.getrandbits(128))), 0),
        (lambda chance: chance.randbytes(16).hex(), 0),
        (lambda chance: f"{base64url(20)(chance)}.{base64url(60)(chance)}", 0),
        (base64url(32), 0),
        # Of 275 without a digit one reads like words.
        (base64url(16), 1),
    ],
    ids=["UUID", "hexadecimal", "two parts", "base64 of 32 bytes", "base64 of 16 bytes"],
)
def test_of_ten_thousand_tokens(made: Callable[[random.Random], str], most: int) -> None:
    left = [token for token in tokens(made) if token in fold(f"/reset/{token}".encode())]
    assert len(left) <= most, left
