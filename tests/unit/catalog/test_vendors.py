"""Whose a name is, by the product's rows and a user's; and what becomes of a file that is wrong."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.catalog.vendors import SHIPPED, WrongVendors, open_vendors, parse_rows, read_rows
from aggregator.resolve.vendors import Vendor, Vendors

ROWS = read_rows(SHIPPED)
KNOWN = open_vendors()
NAMES = {
    "api.stripe.com": ("Stripe", "payments"),
    "stripe.com": ("Stripe", "payments"),
    "API.Stripe.Com.": ("Stripe", "payments"),
    "shop.c9akciq32.eu-west-1.rds.amazonaws.com": ("AWS", "database"),
    "shop.c9akciq32.rds.cn-north-1.amazonaws.com.cn": ("AWS", "database"),
    "docs.cluster-c9akciq32.eu-west-1.docdb.amazonaws.com": ("AWS", "database"),
    "dynamodb.eu-west-1.amazonaws.com": ("AWS", "database"),
    "123456789012.ddb.us-east-1.amazonaws.com": ("AWS", "database"),
    "sessions.abc123.0001.euw1.cache.amazonaws.com": ("AWS", "cache"),
    "clustercfg.sessions.abc123.memorydb.us-east-1.amazonaws.com": ("AWS", "cache"),
    "sqs.eu-west-1.amazonaws.com": ("AWS", "queue"),
    "eu-west-1.queue.amazonaws.com": ("AWS", "queue"),
    "b-1.orders.abc.c2.kafka.eu-west-1.amazonaws.com": ("AWS", "queue"),
    "b-1234-1.mq.eu-west-1.amazonaws.com": ("AWS", "queue"),
    "sns.eu-west-1.amazonaws.com": ("AWS", "messaging"),
    "email-smtp.eu-west-1.amazonaws.com": ("AWS", "e-mail"),
    "s3.amazonaws.com": ("AWS", "object storage"),
    "bucket.s3.amazonaws.com": ("AWS", "object storage"),
    "s3.eu-west-1.amazonaws.com": ("AWS", "object storage"),
    "my.dotted.bucket.s3.eu-west-1.amazonaws.com": ("AWS", "object storage"),
    "bucket.s3.dualstack.eu-west-1.amazonaws.com": ("AWS", "object storage"),
    "bucket.s3-eu-west-1.amazonaws.com": ("AWS", "object storage"),
    "wh.123.us-west-2.redshift.amazonaws.com": ("AWS", "data warehouse"),
    "search-logs-abc.eu-west-1.es.amazonaws.com": ("AWS", "search"),
    "ec2.eu-west-1.amazonaws.com": ("AWS", "cloud API"),
    "abc.execute-api.eu-west-1.amazonaws.com": ("AWS", "hosting"),
    "d111111abcdef8.cloudfront.net": ("AWS", "CDN"),
    "shop.database.windows.net": ("Microsoft Azure", "database"),
    "shop.mysql.database.azure.com": ("Microsoft Azure", "database"),
    "shop.documents.azure.com": ("Microsoft Azure", "database"),
    "shop.mongo.cosmos.azure.com": ("Microsoft Azure", "database"),
    "shop.redis.cache.windows.net": ("Microsoft Azure", "cache"),
    "shop.servicebus.windows.net": ("Microsoft Azure", "queue"),
    "shop.blob.core.windows.net": ("Microsoft Azure", "object storage"),
    "shop.vault.azure.net": ("Microsoft Azure", "secrets"),
    "shop.openai.azure.com": ("Microsoft Azure", "AI"),
    "login.microsoftonline.com": ("Microsoft", "identity"),
    "storage.googleapis.com": ("Google Cloud", "object storage"),
    "bucket.storage.googleapis.com": ("Google Cloud", "object storage"),
    "pubsub.googleapis.com": ("Google Cloud", "queue"),
    "bigquery.googleapis.com": ("Google Cloud", "data warehouse"),
    "spanner.googleapis.com": ("Google Cloud", "database"),
    "maps.googleapis.com": ("Google", "maps"),
    "container.googleapis.com": ("Google Cloud", "cloud API"),
    "shop-shard-00-01.ab1cd.mongodb.net": ("MongoDB Atlas", "database"),
    "ab12345.eu-central-1.snowflakecomputing.com": ("Snowflake", "data warehouse"),
    "pkc-12345.eu-west-1.aws.confluent.cloud": ("Confluent", "queue"),
    "redis-12345.c1.eu-west-1-1.ec2.redns.redis-cloud.com": ("Redis", "cache"),
    "db-postgresql-fra1-1.b.db.ondigitalocean.com": ("DigitalOcean", "database"),
    "api.openai.com": ("OpenAI", "AI"),
    "o123.ingest.de.sentry.io": ("Sentry", "observability"),
    "api.github.com": ("GitHub", "source code"),
    "token.actions.githubusercontent.com": ("GitHub", "identity"),
    "shop.github.io": ("GitHub", "hosting"),
    "acme-v02.api.letsencrypt.org": ("Let's Encrypt", "certificates"),
}  # fmt: skip
NOBODYS = (
    "api.pay.test", "stripe.com.evil.example", "notstripe.com", "xrds.amazonaws.com.example", "com", "", ".", "..",
    "(other)", "192.0.2.9", "2001:db8::1", "a\0b", "é.example", "x" * 70_000, "a." * 5_000,
)  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), NAMES.items(), ids=NAMES)
def test_whose_a_name_is(name: str, expected: tuple[str, str]) -> None:
    assert KNOWN.vendor_of(name) == Vendor(*expected)


@pytest.mark.parametrize("name", NOBODYS, ids=lambda name: ascii(name[:30]))
def test_what_no_row_fits_is_nobodys(name: str) -> None:
    assert KNOWN.vendor_of(name) is None
    assert KNOWN.domain_of(name) or not name


def test_the_product_knows_many() -> None:
    assert len(ROWS) > 900
    assert len({vendor.name for vendor in ROWS.values()}) > 400


def test_a_vendor_is_written_in_one_way() -> None:
    names = {vendor.name for vendor in ROWS.values()}
    assert len({name.casefold().replace(" ", "") for name in names}) == len(names)


def test_each_category_is_explained() -> None:
    page = (Path(__file__).parents[3] / "docs" / "thirdparties.md").read_text(encoding="utf-8")
    assert {vendor.category for vendor in ROWS.values() if f"`{vendor.category}`" not in page} == set()


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("api.pay.example.co.uk", "example.co.uk"),
        ("API.Pay.Example.COM.", "example.com"),
        ("one.tenant.github.io", "tenant.github.io"),  # of two tenants of one host each is somebody else
        ("a.b.city.kawasaki.jp", "city.kawasaki.jp"),  # the list's exceptions
        ("a.b.c.ck", "b.c.ck"),  # and its wildcards
        ("api.pay.test", "pay.test"),  # no such suffix
        ("xn--bcher-kva.example.xn--p1ai", "example.xn--p1ai"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("192.0.2.9", "192.0.2.9"),
        ("a..b", "a..b"),
    ],
)
def test_the_domain_that_somebody_registered(name: str, domain: str) -> None:
    assert KNOWN.domain_of(name) == domain


def test_nothing_is_asked_of_the_network() -> None:
    program = """
import sys
def hear(event, arguments):
    if event.startswith(("socket.", "urllib.")):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(hear)
from aggregator.catalog.vendors import open_vendors
known = open_vendors()
print(known.domain_of("a.b.example.co.uk"), known.vendor_of("api.stripe.com").name)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.returncode) == ("example.co.uk Stripe\n", 0), ended.stderr


def test_ten_thousand_names_take_no_time() -> None:
    """1.4 us a name were measured; of the bound a machine that does other things uses a part."""
    names = [f"host-{number}.{domain.replace('*', 'eu-west-1')}" for number, domain in enumerate(ROWS)] * 10
    assert len(names) > 10_000
    began = time.process_time()
    for name in names:
        KNOWN.vendor_of(name)
    assert (time.process_time() - began) / len(names) < 20e-6


LABELS = st.sampled_from(("a", "b", "c", "com"))
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).flatmap(
    lambda labels: st.integers(0, len(labels) - 1).map(
        lambda at: ".".join([*labels[:at], "*", *labels[at + 1 :]] if 0 < at < len(labels) - 1 else labels)
    )
)


def fits(domain: str, name: str) -> bool:
    row, labels = domain.split("."), name.split(".")
    return len(row) <= len(labels) and all(
        one in ("*", other) for one, other in zip(reversed(row), reversed(labels), strict=False)
    )


@given(st.sets(DOMAINS), st.lists(LABELS, min_size=1, max_size=6).map(".".join))
def test_the_longest_row_that_fits_counts(domains: set[str], name: str) -> None:
    found = Vendors({domain: Vendor(domain, "any") for domain in domains}).vendor_of(name)
    fitting = [domain for domain in domains if fits(domain, name)]
    best = max(
        fitting,
        key=lambda domain: (domain.count("."), [one != "*" for one in reversed(domain.split("."))]),
        default=None,
    )
    assert (found.name if found else None) == best


# --- a user's file ---


def test_rows_of_the_user_go_before_and_stand_beside(tmp_path: Path) -> None:
    file = tmp_path / "vendors.yaml"
    file.write_text("# ours\nPay.Test.: [Our bank, payments]\nstripe.com: [Stripe of ours, money]\n")
    known = open_vendors(file)
    assert known.vendor_of("api.pay.test") == Vendor("Our bank", "payments")
    assert known.vendor_of("api.stripe.com") == Vendor("Stripe of ours", "money")
    assert known.vendor_of("api.paypal.com") == Vendor("PayPal", "payments")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}\n"])
def test_a_file_without_a_row_adds_none(text: str) -> None:
    assert parse_rows(text, "v.yaml") == {}


WRONG = {
    "no yaml": ("a: [b, c]\nd: [e\n", "v.yaml:3: This is not YAML: .*; write rows like stripe.com: .Stripe, payments."),
    "a list": ("- stripe.com\n", "v.yaml:1: this is no table of vendors; write rows like"),
    "two documents": ("a.com: [b, c]\n---\nd.com: [e, f]\n", "v.yaml:3: this is no table of vendors"),
    "no category": ("a.com: [A, x]\nb.com: [B]\n", "v.yaml:2: 'b.com' needs a vendor and a category; write it like"),
    "a text": ("b.com: B\n", "v.yaml:1: 'b.com' needs a vendor and a category"),
    "three": ("b.com: [B, c, d]\n", "v.yaml:1: 'b.com' needs a vendor and a category"),
    "a number": ("b.com: [B, 7]\n", "v.yaml:1: 'b.com' needs a vendor and a category"),
    "nothing": ("b.com:\n", "v.yaml:1: 'b.com' needs a vendor and a category"),
    "an empty name": ("b.com: ['', c]\n", "v.yaml:1: a text of 'b.com' is empty, longer than 100 signs or not"),
    "a long name": (f"b.com: [{'x' * 101}, c]\n", "v.yaml:1: a text of 'b.com' is empty, longer than 100 signs"),
    "a line break": ('b.com: ["B\\nC", c]\n', "v.yaml:1: a text of 'b.com' is .* not printable; shorten it"),
    "twice": ("a.com: [A, x]\nb.com: [B, x]\na.com: [C, x]\n", "v.yaml:3: 'a.com' has a row already; leave one"),
    "twice, in other letters": ("a.com: [A, x]\nA.com.: [C, x]\n", "v.yaml:2: 'A.com.' has a row already"),
    "a star before": ("'*.a.com': [A, x]\n", r"v.yaml:1: '\*.a.com' begins with \*; leave that out, a row holds"),
    "two stars": ("a.*.*.com: [A, x]\n", r"v.yaml:1: .* has \* more than once or at its end; write it like s3"),
    "a star at the end": ("a.*: [A, x]\n", r"v.yaml:1: 'a.\*' has \* more than once or at its end"),
    "part of a label": ("a.s3-*.com: [A, x]\n", "v.yaml:1: .* is no domain; write it like example.com"),
    "an address of the web": ("https://a.com/: [A, x]\n", "v.yaml:1: 'https://a.com/' is no domain"),
    "beyond ascii": ("bücher.example: [A, x]\n", "v.yaml:1: 'bücher.example' is no domain; .* in ASCII .xn--"),
    "an empty label": ("a..com: [A, x]\n", "v.yaml:1: 'a..com' is no domain"),
    "a long domain": (f"{'a.' * 130}com: [A, x]\n", "v.yaml:1: .* is no domain"),
}


@pytest.mark.parametrize(("text", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(WrongVendors, match=f"^{sentence}") as refused:
        parse_rows(text, "v.yaml")
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        WrongVendors, match=r"gone\.yaml cannot be read: No such file or directory; correct that, or --vendors"
    ):
        open_vendors(tmp_path / "gone.yaml")
    (tmp_path / "latin").write_bytes(b"a.com: [A, x]\nb.com: [\xe9, x]\n")
    with pytest.raises(WrongVendors, match="is not UTF-8 in line 2"):
        open_vendors(tmp_path / "latin")


# --- who is allowed ---


def test_without_names_every_vendor_is_allowed() -> None:
    assert KNOWN.is_allowed(Vendor("Stripe", "payments")) and KNOWN.is_allowed(None)
    assert not KNOWN.limited


def test_with_names_those_are_and_nobody_else() -> None:
    known = open_vendors(allowed=["stripe", "AWS"])
    assert known.limited
    assert known.is_allowed(Vendor("Stripe", "payments")) and known.is_allowed(Vendor("AWS", "database"))
    assert not known.is_allowed(Vendor("PayPal", "payments")) and not known.is_allowed(None)


def test_a_name_that_no_row_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        WrongVendors, match=r"--allowed-vendors 'Strpe' is no vendor of any row; write 'Stripe', or add"
    ):
        open_vendors(allowed=["Strpe"])
    with pytest.raises(WrongVendors, match=r"--allowed-vendors 'Our bank 77' is no vendor .*; add a row for it with"):
        open_vendors(allowed=["Our bank 77"])
    (tmp_path / "v.yaml").write_text("pay.test: [Our bank 77, payments]\n")
    assert open_vendors(tmp_path / "v.yaml", ["our bank 77"]).is_allowed(Vendor("Our bank 77", "payments"))
