from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from masterflow.scripts.sample_flow import CsvInvalid, check_csv
from masterflow.scripts.sample_flow.__main__ import app
from masterflow.scripts.sample_flow.cell_values import (
    address,
    count,
    day,
    dollars,
    gigabytes,
    hostname,
    hostnames,
)
from masterflow.scripts.sample_flow.cleansing import Server
from masterflow.scripts.sample_flow.csv_file import read_table
from masterflow.scripts.sample_flow.dependencies import build_graph
from masterflow.scripts.sample_flow.fields import columns_of, match_headers
from masterflow.scripts.sample_flow.inventory import classify
from masterflow.scripts.sample_flow.strategy import choose
from masterflow.scripts.sample_flow.tech_debt import Debt, assess
from masterflow.scripts.sample_flow.validation import find_issues

TODAY = date(2025, 11, 22)


def csv_file(folder: Path, text: str | bytes) -> Path:
    path = folder / "servers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


BAD_FILES = {
    "empty": (b"", "is empty"),
    "blank": (b"  \n \n", "is empty"),
    "byte order mark alone": (b"\xef\xbb\xbf\n", "is empty"),
    "binary": (b"\x7fELF\x02\x00\x00", "is a binary file"),
    "utf-16 cut off": ("Host,OS\na,b\n".encode("utf-16")[:-1], "save it as 'CSV UTF-8'"),
    "another encoding": (
        "Host,OS\nmünchen,b\n".encode("cp850"),
        r"line 2 holds the byte 0x81 \(at offset 9\)",
    ),
    "header only": (b"Host,OS\n", "has a header but no rows"),
    "no host column": (b"Colour,OS\nred,RHEL 8\n", "no column for the hostname; add one"),
    "no system column": (b"Host,Colour\na,red\n", "no column for the operating system"),
    "two equal headers": (b"Host,OS,OS\na,b,c\n", "two columns with the header 'OS'"),
    "too many columns": (b",".join(b"c%d" % n for n in range(300)) + b"\n1\n", "has 300 columns"),
    "endless cell": (b'Host,OS\n"' + b"x" * 200_000 + b'",b\n', "is no readable CSV file"),
}


@pytest.mark.parametrize(("content", "cause"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_gives_one_sentence_that_names_it_and_no_traceback(tmp_path, content, cause):
    path = csv_file(tmp_path, content)
    with pytest.raises(CsvInvalid, match=cause) as raised:
        check_csv(path)
    assert str(raised.value).startswith(str(path))
    result = CliRunner().invoke(app, ["--csv", str(path)])
    assert result.exit_code == 1
    assert result.stderr == f"{raised.value}\n"
    assert result.stdout == ""


@pytest.mark.parametrize("path", ["missing.csv", "."])
def test_a_path_that_is_no_file_gives_one_sentence(tmp_path, path):
    with pytest.raises(CsvInvalid, match="cannot be read: "):
        check_csv(tmp_path / path)


def test_each_kind_of_dirty_row_is_found(tmp_path):
    rows = [
        "Host,OS,IP,RAM,CPU,Installed On,Cost",
        "a,RHEL 8,10.0.0.1,16 GB,4,2024-02-29,$1",
        "b,RHEL 8,10.0.0.256,16,4,2024-01-01,1",
        "c,RHEL 8,10.0.0.3,lots,4,2024-01-01,1",
        "d,RHEL 8,10.0.0.4,16,0,2023-02-29,1",
        "A.corp,RHEL 8,10.0.0.5,16,4,,free",
        ",,10.0.0.6,16,4,,",
        "g,RHEL 8",
        "h,RHEL 8,10.0.0.8,16,4,,1,surplus",
    ]
    table = read_table(csv_file(tmp_path, "\n".join(rows)))
    issues = find_issues(table, columns_of(match_headers(table.headers)))
    assert [(issue.line, issue.column, issue.problem.split(";")[0]) for issue in issues] == [
        (3, "IP", "is no IP address"),
        (4, "RAM", "is no size"),
        (5, "CPU", "is no whole number above zero"),
        (5, "Installed On", "is no date"),
        (6, "Cost", "is no amount"),
        (6, "Host", "is the same server as in line 2"),
        (7, "Host", "is missing"),
        (7, "OS", "is missing"),
        (8, "", "has 5 cells too few"),
        (9, "", "has 1 cells too many"),
    ]


def test_cells_are_read_in_the_ways_people_write_them():
    assert [gigabytes(text) for text in ("16", "16 GB", "16384 MB", "0.5tb")] == [16, 16, 16, 512]
    assert {day(text) for text in ("2025-06-04", "04/06/2025", "4.6.2025", "04 Jun 2025")} == {
        date(2025, 6, 4)
    }
    assert [dollars(text) for text in ("$1,234.50", "12")] == [1234.5, 12]
    assert (hostname("DB-1.corp.example"), hostnames("db-1; DB-2,db-3")) == ("db-1", ("db-1", "db-2", "db-3"))
    assert address(" ::0001 ") == "::1"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (gigabytes, "-8"),
        (gigabytes, "1e9"),
        (day, "2024-02-30"),
        (count, "0"),
        (dollars, "nan"),
        (hostname, " "),
    ],
)
def test_cells_that_mean_nothing_are_refused(read, text):
    with pytest.raises(ValueError, match="is "):
        read(text)


def test_headers_are_matched_by_similarity_and_no_field_twice():
    mappings = match_headers(("Servername", "Operat. System", "Memory (GB)", "RAM", "Favourite colour"))
    assert [mapping.field for mapping in mappings] == ["hostname", "operating_system", None, "ram_gb", None]
    assert all(0.75 <= mapping.confidence < 1 for mapping in mappings[:2])


def test_a_graph_knows_cycles_strangers_and_what_is_much_used():
    links = {"a": "b", "b": "c", "c": "a", "d": "d", "e": "a;x"}
    graph = build_graph(Server(name, "RHEL 8", depends_on=hostnames(to)) for name, to in links.items())
    assert {frozenset(cycle) for cycle in graph.cycles} == {frozenset("abc"), frozenset("d")}
    assert graph.unknown == {"e": ("x",)}
    assert graph.dependents["a"] == 2
    assert all(
        graph.edges[name] and after in graph.edges[name]
        for cycle in graph.cycles
        for name, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True)
    )


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (Server("x-1", "", role="database server"), "database"),
        (Server("bil-web-prd-01", ""), "web server"),
        (Server("x-1", "", role="mail"), "other"),
    ],
)
def test_servers_are_sorted_by_role_and_else_by_name(server, kind):
    assert classify(server) == kind


def test_debt_counts_support_patches_and_importance():
    old = Server("a", "Windows Server 2012 R2", criticality="high", last_patched=date(2024, 1, 1))
    assert assess(old, today=TODAY).score == 100
    assert assess(Server("b", "Ubuntu 22.04 LTS"), today=date(2026, 6, 1)).score == 30
    assert assess(Server("c", "Debian 12", last_patched=date(2025, 11, 1)), today=TODAY) == Debt(0, (), False)
    assert assess(Server("d", "BeOS"), today=TODAY).score == 0


@pytest.mark.parametrize(
    ("server", "is_out_of_support", "dependents", "strategy"),
    [
        (Server("a", "CentOS 7.9", environment="test"), True, 0, "retire"),
        (Server("a", "CentOS 7.9", application="Jira"), True, 3, "repurchase"),
        (Server("a", "AIX 7.2"), False, 9, "retain"),
        (Server("a", "AIX 7.2"), False, 1, "refactor"),
        (Server("a", "CentOS 7.9", criticality="critical", environment="production"), True, 0, "refactor"),
        (Server("a", "CentOS 7.9", environment="production"), True, 0, "replatform"),
        (Server("a", "Debian 12", role="database server"), False, 0, "replatform"),
        (Server("a", "Debian 12", role="web server"), False, 0, "rehost"),
    ],
)
def test_the_first_rule_that_holds_decides_the_strategy(server, is_out_of_support, dependents, strategy):
    debt = Debt(0, (), is_out_of_support)
    assert choose(server, debt, dependents=dependents)[0] == strategy
