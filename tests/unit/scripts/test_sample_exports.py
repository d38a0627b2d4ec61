import csv
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from masterflow.scripts.sample_flow import CsvInvalid, check_csv
from masterflow.scripts.sample_flow.__main__ import app
from masterflow.scripts.sample_flow.cell_values import decimal_mark, number
from masterflow.scripts.sample_flow.cleansing import Server, cleanse
from masterflow.scripts.sample_flow.csv_file import Table, read_table
from masterflow.scripts.sample_flow.fields import columns_of, match_headers, unit_of
from masterflow.scripts.sample_flow.validation import find_issues, remarks_on


def export(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "servers.csv"
    path.write_bytes(text.encode(encoding))
    return path


def servers_of(table: Table) -> list[Server]:
    columns = columns_of(match_headers(table.headers))
    aside = {issue.line for issue in find_issues(table, columns)}
    return [cleanse(row, columns) for row in table.rows if row.line not in aside]


def servers_in(path: Path) -> list[Server]:
    check_csv(path)
    return servers_of(read_table(path))


PLAIN = "Hostname,OS,Location\nsrv-a,Linux,Köln\nsrv-b,Linux,Paris\n"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_every_usual_encoding_and_line_end_is_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    servers = servers_in(export(tmp_path, PLAIN.replace("\n", line_end), encoding))
    assert [(server.hostname, server.location) for server in servers] == [
        ("srv-a", "Köln"),
        ("srv-b", "Paris"),
    ]


FOREIGN = {
    "cp850": "Zürich",
    "mac_roman": "Zürich",
    "shift_jis": "東京本社",
    "gbk": "北京",
    "cp1251": "Москва",
}


@pytest.mark.parametrize(("encoding", "place"), FOREIGN.items())
def test_an_encoding_that_nobody_can_tell_is_refused_with_its_place(
    tmp_path: Path, encoding: str, place: str
) -> None:
    path = export(tmp_path, f"Hostname,OS,Location\nsrv-a,Linux,{place}\n", encoding)
    with pytest.raises(
        CsvInvalid, match=r"nor Western European \(cp1252\): line 2 holds the byte 0x.*save it as"
    ):
        check_csv(path)


def test_a_mixture_of_encodings_is_refused_with_a_line_of_each(tmp_path: Path) -> None:
    path = tmp_path / "servers.csv"
    path.write_bytes("Hostname,OS\nKöln,Linux\n".encode() + "Zürich,Linux\n".encode("cp1252"))
    with pytest.raises(CsvInvalid, match="mixes encodings: line 2 is UTF-8, line 3 is not"):
        check_csv(path)


BEFORE = {
    "sep": "sep=;\n",
    "quoted sep": '"sep=;"\n',
    "type": "#TYPE Selected.Computer\n",
    "title": "Servers of ACME, Inc., all sites\n",
    "titles": "Server inventory;;\nGenerated 2025-06-04 10:00;;\n\n;;\n",
    "comments": "# exported by a tool\n# on Monday\n",
    "rule": "==========\n",
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE.keys())
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_the_header_is_found_below_what_stands_before_it(tmp_path: Path, before: str, delimiter: str) -> None:
    text = "Hostname;OS;RAM\nsrv-a;Linux;16\nsrv-b;Linux;8\n".replace(";", delimiter)
    if "sep=" in before:
        before = before.replace(";", delimiter)
    table = read_table(export(tmp_path, before + text))
    assert table.headers == ("Hostname", "OS", "RAM")
    assert table.delimiter == delimiter
    assert [server.ram_gb for server in servers_of(table)] == [16, 8]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cf", "Zs"))),
            st.text("ab\n,;\"' "),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(",;\t|"),
)
@settings(max_examples=25, deadline=None)
def test_whatever_a_csv_writer_writes_is_read_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]], delimiter: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerows(
        [("Hostname", "OS", "Note", "Remark"), *((f"s{n}", "Linux", *note) for n, note in enumerate(notes))]
    )
    table = read_table(export(tmp_path_factory.mktemp("written"), text.getvalue()))
    assert [row.cells["Hostname"] for row in table.rows] == [f"s{n}" for n in range(len(notes))]
    assert [row.surplus for row in table.rows] == [0] * len(notes)


SIZES = {
    "in the header": ("RAM (MB)", ["16384", "8192"]),
    "in the header, with words": ("*Memory (In MB)", ["16384", "8192"]),
    "in the header, run in": ("RAM.TotalSizeInMB", ["16384", "8192"]),
    "in the header, as a suffix": ("ram_mb", ["16384", "8192"]),
    "in terabytes": ("RAM (TB)", ["0.015625", "0.0078125"]),
    "in French": ("RAM (Go)", ["16", "8"]),
    "in the values": ("RAM", ["16 GiB", "8192MB"]),
    "in each value another": ("RAM (GB)", ["16384 MB", "8"]),
    "with odd blanks": ("RAM\u00a0", ["16\u202fGB", "8\u00a0GiB"]),
    "nowhere, but no server has 8 TB": ("Memory", ["16384", "8192"]),
    "nowhere, and kilobytes": ("Memory", ["16777216", "8388608"]),
    "nowhere, and bytes": ("Memory", ["17179869184", "8589934592"]),
    "with thousands": ("Memory (MB)", ["16,384", "8,192"]),
    "with a point that makes thousands": ("Memory (MB)", ["16.384", "8192"]),
    "with a comma in the values": ("Memory", ["16,384 MB", "8 GB"]),
}


@pytest.mark.parametrize(("header", "values"), SIZES.values(), ids=SIZES.keys())
def test_memory_is_read_in_the_unit_it_is_in(tmp_path: Path, header: str, values: list[str]) -> None:
    text = f"Hostname\tOS\t{header}\tCost\na\tLinux\t{values[0]}\t1.5\nb\tLinux\t{values[1]}\t\n"
    assert [server.ram_gb for server in servers_in(export(tmp_path, text))] == [16, 8]


@pytest.mark.parametrize(
    ("delimiter", "values", "costs"),
    [
        (";", ["99,90", "1.234,50 €"], [99.9, 1234.5]),
        (";", ["1.234", "99"], [1234, 99]),
        (";", ["99.90", "1,234"], [99.9, 1234]),
        (",", ["99.90", "$1,234.50"], [99.9, 1234.5]),
        (",", ["1,234", "99"], [1234, 99]),
        (",", ["7,5", "1.234"], [7.5, 1234]),
        ("\t", ["1'234.50 CHF", "99"], [1234.5, 99]),
        ("\t", ["1 234,50", "0,125"], [1234.5, 0.125]),
        ("\t", ["1.234.567", "1,5"], [1234567, 1.5]),
        ("\t", ["1,23,456.5", "1,234"], [123456.5, 1234]),
    ],
)
def test_amounts_are_read_with_the_decimal_mark_of_their_file(
    tmp_path: Path, delimiter: str, values: list[str], costs: list[float]
) -> None:
    rows = [
        ["Hostname", "OS", "Monthly cost"],
        *([f"s{n}", "Linux", value] for n, value in enumerate(values)),
    ]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    assert [server.monthly_cost for server in servers_in(export(tmp_path, text))] == costs


@given(
    st.integers(0, 10**11),
    st.integers(0, 99),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", ".")]),
)
def test_a_grouped_number_with_two_decimals_is_never_misread(
    whole: int, cents: int, style: tuple[str, str]
) -> None:
    group, mark = style
    text = f"{whole:,}".replace(",", group) + f"{mark}{cents:02d}"
    assert decimal_mark(text) == mark
    for wrong in ".,":
        assert number(text, mark=wrong) == pytest.approx(whole + cents / 100)


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (["06/24/2025", "06/04/2025"], ["2025-06-24", "2025-06-04"]),
        (["6/24/25 10:30", "6/4/25 9:05 AM"], ["2025-06-24", "2025-06-04"]),
        (["24/06/2025", "04/06/2025"], ["2025-06-24", "2025-06-04"]),
        (["24.06.2025 11:20:31", "4.6.2025"], ["2025-06-24", "2025-06-04"]),
        (["2025-06-24T10:00:00Z", "2025/6/4"], ["2025-06-24", "2025-06-04"]),
        (["24-Jun-2025", "Jun 4, 2025"], ["2025-06-24", "2025-06-04"]),
        (["Tuesday, 24 June 2025", "20250604"], ["2025-06-24", "2025-06-04"]),
    ],
)
def test_dates_are_read_in_the_order_of_their_file(
    tmp_path: Path, values: list[str], days: list[str]
) -> None:
    rows = "".join(f'"s{n}","Linux","{value}"\n' for n, value in enumerate(values))
    servers = servers_in(export(tmp_path, f"Hostname,OS,Last Patched\n{rows}"))
    assert [str(server.last_patched) for server in servers] == days


TWO_WAYS = {
    "a point": ("Cost\n16.384", "has '16.384' under 'Cost', which may be 16.384 or 16384; write"),
    "both marks": ("Cost\n7,5\n7.5\n1.234", "has '1.234' under 'Cost', which may be 1.234 or 1234; write"),
    "no unit": ("RAM\n1024", "has sizes such as 1024 under 'RAM', which may be MB or GB; write the unit"),
    "a disk": ("Disk\n20000", "has sizes such as 20000 under 'Disk', which may be MB or GB; write the unit"),
    "two currencies": (
        "Cost\n€12.50\n$14.00",
        "has EUR and USD under 'Cost'; write its amounts in one currency",
    ),
    "a date": ("Last Patched\n04/06/2025", "has '04/06/2025' under 'Last Patched', of which nobody can tell"),
}


@pytest.mark.parametrize(("column", "sentence"), TWO_WAYS.values(), ids=TWO_WAYS.keys())
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, column: str, sentence: str) -> None:
    header, *values = column.split("\n")
    rows = "".join(f"s{n}\tLinux\t{value}\n" for n, value in enumerate(values))
    with pytest.raises(CsvInvalid) as raised:
        check_csv(export(tmp_path, f"Hostname\tOS\t{header}\n{rows}"))
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        (("OS version", "*OS name", "*Server name"), ("os_version", "operating_system", "hostname")),
        (("OS version", "Server"), ("operating_system", "hostname")),
        (("VM", "DNS Name", "Host"), ("hostname", None, None)),
        (("name", "host_name", "fqdn"), (None, "hostname", None)),
        (("cpu_count", "cpu_core_count"), (None, "cpu_cores")),
        (("install_status", "sys_updated_on"), (None, None)),
        (("Memory utilization percentage", "RAM.UsedSizeInMB.Avg"), (None, None)),
        (("Disk 1 size (In GB)", "Storage in use (In GB)"), (None, "storage_gb")),
        (("IPv4Address", "OperatingSystem", "DNSHostName"), ("ip_address", "operating_system", "hostname")),
        (("Environment", "Stage"), ("environment", None)),
        (("Power", "Hosts up", "Status"), (None, None, None)),
    ],
)
def test_of_several_headers_the_best_has_the_field(
    headers: tuple[str, ...], fields: tuple[str | None, ...]
) -> None:
    assert tuple(mapping.field for mapping in match_headers(headers)) == fields


@pytest.mark.parametrize(
    ("header", "unit"),
    [
        ("RAM [MiB]", "mib"),
        ("disk-size-gb", "gb"),
        ("MemoryMB", "mb"),
        ("Up to", None),
        ("Web", None),
        ("RAM", None),
    ],
)
def test_a_unit_is_found_in_a_header(header: str, unit: str | None) -> None:
    assert unit_of(header) == unit


def test_a_system_gets_the_version_of_the_column_beside_it(tmp_path: Path) -> None:
    text = (
        "Hostname,OS Name,OS Version\na,Ubuntu Linux,20.04\nb,Linux Red Hat,8.6\n"
        "c,Microsoft Windows Server 2019,10.0\nd,Linux,unknown\n"
    )
    assert [server.operating_system for server in servers_in(export(tmp_path, text))] == [
        *("Ubuntu 20.04", "Red Hat Enterprise Linux 8.6", "Windows Server 2019", "Linux")
    ]


def test_empty_headers_are_columns_only_if_they_hold_something(tmp_path: Path) -> None:
    table = read_table(export(tmp_path, "Hostname,OS,,,\na,Linux,,x,\nb,Linux\nc,Linux,,,,,\n"))
    assert table.headers == ("Hostname", "OS", "column 4")
    assert [row.surplus for row in table.rows] == [0, -2, 0]


def test_double_headers_are_told_apart_unless_one_would_be_read(tmp_path: Path) -> None:
    table = read_table(export(tmp_path, "Hostname,OS,Note,Note\na,Linux,1,2\n"))
    assert table.rows[0].cells == {"Hostname": "a", "OS": "Linux", "Note": "1", "Note (2)": "2"}
    with pytest.raises(CsvInvalid, match="two columns with the header 'host_name'; rename one"):
        check_csv(export(tmp_path, "Hostname,OS,host_name\na,Linux,b\n"))


def test_lines_that_are_no_servers_are_set_aside(tmp_path: Path) -> None:
    text = (
        "Hostname,OS,RAM\n--------,--,---\na,Linux,16\nHostname,OS,RAM\nb,Linux,8\n"
        '"c","Linux","4\n"\nTotal,3 servers,28\n'
    )
    table = read_table(export(tmp_path, text))
    issues = find_issues(table, columns_of(match_headers(table.headers)))
    assert [(issue.line, issue.problem) for issue in issues] == [
        (4, "is the header once more"),
        (8, "sums up, and is no server"),
    ]
    assert [server.hostname for server in servers_of(table)] == ["a", "b", "c"]


def test_a_number_in_another_unit_than_the_others_is_not_believed(tmp_path: Path) -> None:
    sizes = ["16", "8", "16384", "32", "16384 MB", "1024"]
    text = "Hostname,OS,RAM (GB)\n" + "".join(f"s{n},Linux,{size}\n" for n, size in enumerate(sizes))
    assert [server.ram_gb for server in servers_in(export(tmp_path, text))] == [16, 8, 32, 16, 1024]
    [issue] = find_issues(
        read_table(tmp_path / "servers.csv"),
        {"hostname": "Hostname", "ram_gb": "RAM (GB)"} | {"operating_system": "OS"},
    )
    assert (issue.value, issue.problem) == ("16384", "is far from what the others have; write its unit")


def test_a_second_table_in_a_file_is_refused_and_a_repeated_header_is_not(tmp_path: Path) -> None:
    second = "Application,Owner,Cost\nBilling,Ann,12\n"
    with pytest.raises(
        CsvInvalid, match="has a second table from line 3 on; export each into a file of its own"
    ):
        check_csv(export(tmp_path, f"Hostname,OS,Role\na,Linux,db\n{second}"))


def test_spaces_before_quotes_and_excels_formulas_are_no_part_of_a_text(tmp_path: Path) -> None:
    text = 'Hostname, OS, Location\na, "Linux", "Main Street, 5"\n="b", Linux, ="0815"\n'
    assert [
        (server.hostname, server.operating_system, server.location)
        for server in servers_in(export(tmp_path, text))
    ] == [
        ("a", "Linux", "Main Street, 5"),
        ("b", "Linux", "0815"),
    ]


def test_what_means_nothing_is_not_told(tmp_path: Path) -> None:
    text = "Hostname,OS,RAM,IP,CPU\na,Linux,#N/A,-,null\nb,Linux,16,10.0.0.1;10.0.1.1,4 cores\n"
    servers = servers_in(export(tmp_path, text))
    assert [(server.ram_gb, server.ip_address, server.cpu_cores) for server in servers] == [
        (None, None, None),
        (16, "10.0.0.1", 4),
    ]


def test_servers_that_are_called_by_their_address_are_not_one(tmp_path: Path) -> None:
    servers = servers_in(
        export(tmp_path, "Server,OS\n10.0.0.1,Linux\n10.0.0.2,Linux\nsrv\u2011c.corp,Linux\n")
    )
    assert [server.hostname for server in servers] == ["10.0.0.1", "10.0.0.2", "srv-c"]


def test_a_column_that_is_not_what_its_header_says_takes_no_row_away(tmp_path: Path) -> None:
    text = "Hostname,OS,Install Date\na,Linux,Installed\nb,Linux,Retired\nc,Linux,2025-06-04\nd,Linux,\n"
    table = read_table(export(tmp_path, text))
    assert [server.installed_on for server in servers_of(table)] == [None] * 4
    assert remarks_on(table, []) == ("Column 'Install Date' is not read: 'Installed' is no date.",)


UNUSABLE = {
    "every row aside": (
        "Host,OS,CPU\na,Linux,lots\nb,Linux,few\n",
        "no row that can be used: line 2 'CPU' 'lots' is",
    ),
    "unquoted commas": ("Host,OS,RAM\na,Linux,7,5\n", "no row that can be used: line 2 has 1 cells too many"),
    "an open quote": (
        'Host,OS,Rack\na,Linux,"19 inch\nb,Linux,2\n',
        "line 2: unexpected end of data; mend the quotes",
    ),
    "a backslash": ('Host,OS,Note\na,Linux,"say \\"hi\\", ok"\n', "line 2: ',' expected after '\"'"),
    "an endless line": ("Host,OS\na,Linux" + "," * 1_000_001, "over 1,000,000 characters in line 2"),
    "a workbook": ("PK\x03\x04", "is an Excel workbook"),
    "a page": ("<html></html>", "is HTML or XML"),
    "json": ('[{"host": "a"}]', "is JSON"),
    "1000 columns": (
        ",".join(f"c{n}" for n in range(1000)) + "\n1\n",
        "has 1000 columns; at most 200 are read",
    ),
}


@pytest.mark.parametrize(("text", "cause"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str, cause: str) -> None:
    path = export(tmp_path, text)
    result = CliRunner().invoke(app, ["--csv", str(path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(str(path))
    assert cause in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(CsvInvalid, match="is no file but a pipe or a device; save it"):
        check_csv(tmp_path / "pipe.csv")


def outcome_of(path: Path) -> str:
    try:
        remarks = check_csv(path)
    except CsvInvalid as refused:
        return str(refused)
    assert servers_of(read_table(path))
    return " ".join(remarks)


PIECES = [
    *("Hostname", "OS", "RAM", "Last Patched", "Cost", "IP", "a", "1.5", "1,500", "06/07/25", "sep=", "="),
    *(",", ",", ";", "\n", "\n", '"', "'", "\t", "\r", "\0"),
]


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.lists(st.sampled_from(PIECES), max_size=40).map(lambda pieces: "".join(pieces).encode())
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_bytes_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "servers.csv"
    for content in (
        noise,
        b"Hostname,OS,RAM,Last Patched,Cost,IP\na,Linux,1,2025-01-01,1,10.0.0.1\n" + noise,
    ):
        path.write_bytes(content)
        assert "\n" not in outcome_of(path)


def test_a_thousand_empty_columns_are_none(tmp_path: Path) -> None:
    text = f"Hostname,OS{',' * 998}\na,Linux{',' * 998}\n"
    assert read_table(export(tmp_path, text)).headers == ("Hostname", "OS")
