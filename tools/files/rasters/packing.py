"""What a series' files said, packed small: some 60 bytes for the georeference, names and layout of a GeoTIFF.

`pack(metadata)` and `unpack(data)` are exact inverses for plain JSON types. "files" of the metadata, one item a frame, are
rows of JSON text that mostly differ in numbers; the rest is one text, the head. Rows alike but for numbers share a form:

    SHARED    in the text of a form: a float of more than 10 characters, alike in all its rows, 8 bytes
    NUMBER    digits that differ between its rows, a column
    FLOAT     such a float that differs between its rows, 8 bytes a row

| bytes | field |
|---|---|
| varint, varint | rows; forms |
| varint, varint, n | bytes of the plain texts, and deflated; the texts (head and forms, NUL between), deflated raw with `DICTIONARY` |
| T varints | only with two forms or more: of each row its form |
| ... | per form, per mark in its text: what the mark stands for |

A column of digits: a byte, 1 to 12 where all have so many digits, 0 where their numbers differ, from 32 on an earlier
column of the form that is the same (32 + its number); then, unless it is, the first number as varint and the differences as
signed varints; with 0 each row's number of digits as varint before it. Floats are IEEE 754 doubles, little-endian.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.wire import Cursor, signed_varint, varint
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.series import MAX_METADATA_BYTES

SHARED, NUMBER, FLOAT = "\x01", "\x02", "\x03"
# Never to be changed: streams are packed with it. What is most likely stands last.
DICTIONARY = (
    b'"extra":{"group":{"dtype":"<U","licence":{"note":{"source":{"shape":[],"values":["],"has_dates":true,"rank":4,"rank":3,'
    b'"types":{"bands":"|S","dates":"<M8[D]","native":{"10m":["B02","B03","B04","B08"],"20m":["B05","B06","B07","B8A","B11","B12"],'
    b'"60m":["B01","B09"]}"order":["boa_offset_1000":{"dtype":"<U2","shape":[],"values":["no"]}"yes"]}"level":{"dtype":"<U3",'
    b'"shape":[],"values":["L2A"]},"L1C"]},"format":"npz"}'
    b"_AOT_10m_WVP_TCI_QA_PIXEL_SR_B1_Fmask_LC08_L2SP_HLS.S30.T32TQM.2023001T101411.v2.0.LC09_02_T1_AnalyticMS_SR_8b"
    b'"mask":"internal","mask":"sidecar","mask":"nan","mask":"alpha","alpha":[4,2,255.0],"nodata":-9999.0,"nodata":-32768.0,'
    b'"nodata":"nan","nodata":255.0,"nodata":65535.0,"datetime":"2023:01:01 10:14:11","source":"JP2OpenJPEG","source":"netCDF",'
    b'"tags":[[42112,2,,"<GDALMetadata>\\n  <Item name=\\"SCALE\\" sample=\\"0\\" role=\\"scale\\">0.0001</Item>\\n  <Item '
    b'name=\\"OFFSET\\" sample=\\"1\\" role=\\"offset\\">-0.1</Item>\\n</GDALMetadata>\\n"],[33550,12,3,[10.0,10.0,0.0]],[33922,12,6,'
    b"[0.0,0.0,0.0,699960.0,5100000.0,0.0]],[34735,3,[1,1,0,7,1024,0,1,1,1025,0,1,1,1026,34737,"
    b',"geographic":true,"crs":"EPSG:3857","crs":"EPSG:4326",'
    b'"photometric":2,"extras":[2],"compression":"JPEG","compression":"LZW","compression":"ZSTD","compression":"NONE",'
    b'"compression":"DEFLATE",'
    b'["coastal","CoastalBlue","blue","green_i","green","yellow","red","rededge","nir","swir16","swir22"],["Red","Green","Blue","NIR"]'
    b'_10m.tif","_20m.tif","_60m.tif","T32TQM_20230101T101411_B8A_20m.tif","SCL","SCL",0.0,false]],'
    b'[{"bands":["B02","B03","B04","B08"],"dtype":"float32","dtype":"int16","dtype":"uint8",'
    b'"bands":["B01","B02","B03","B04","B05","B06","B07","B08","B8A","B09","B10","B11","B12"],'
    b'"georeference":{"crs":"EPSG:326","transform":[60.0,0.0,0.0,-60.0,[20.0,0.0,0.0,-20.0,[10.0,0.0,399960.0,0.0,-10.0,4500000.0]},'
    b'"layout":{"bigtiff":false,"compression":"ADOBE_DEFLATE","planar":false,"predictor":1,"predictor":2,"tile":[512,512],'
    b'"tile":[256,256],"planar":true,"predictor":1,"tile":null},"mask":"nodata","name":"S2A_MSIL2A_2023_2024_2025.tif","nodata":0.0,'
    b'"shape":[10980,10980],"shape":[256,256]}]{"format":"raster"}'
)
_LONG = 10  # characters, from which on a float is shorter as 8 bytes
_TOKEN = re.compile(r"-?\d+\.\d+(?:e[-+]?\d+)?|\d{1,12}")
_MARK = re.compile(f"[{SHARED}{NUMBER}{FLOAT}]")
_DIGITS, _REFERENCE = 12, 32


def pack(metadata: dict[str, Any]) -> bytes:
    """Plain JSON types as bytes, deterministic; empty for no metadata. Raises UserError where they are too many."""
    if not metadata:
        return b""
    files = metadata.get("files")
    rows = [_json(item) for item in files] if isinstance(files, list) else []
    head = _json({k: v for k, v in metadata.items() if not (rows and k == "files")})
    forms: dict[str, list[int]] = {}
    split = [_split(row) for row in rows]
    for index, (skeleton, _) in enumerate(split):
        forms.setdefault(skeleton, []).append(index)
    texts, contents = [head], []
    for skeleton, members in forms.items():
        text, content = _form(skeleton, [split[i][1] for i in members])
        texts.append(text)
        contents.append(content)
    plain = "\0".join(texts).encode()
    if max(len(plain), sum(map(len, rows))) > MAX_METADATA_BYTES:
        raise UserError(f"metadata: expected at most {MAX_METADATA_BYTES} bytes of what the files say, found more")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    packed = packer.compress(plain) + packer.flush()
    numbers = {s: i for i, s in enumerate(forms)}
    chosen = b"".join(varint(numbers[s]) for s, _ in split) if len(forms) > 1 else b""
    sizes = varint(len(rows)) + varint(len(forms)) + varint(len(plain)) + varint(len(packed))
    return sizes + packed + chosen + b"".join(contents)


def unpack(data: bytes) -> dict[str, Any]:
    """The metadata of `pack`. Raises UserError for anything else; no more than 4 MiB of text is ever made."""
    if not data:
        return {}
    try:
        found = _unpacked(Cursor(data))
    except (StreamError, zlib.error, ValueError, RecursionError) as error:
        raise UserError(f"metadata is damaged: {error}") from error
    if not isinstance(found, dict):
        raise UserError("metadata is damaged: expected names and values")
    return found


def _unpacked(cursor: Cursor) -> Any:
    count, forms, size = cursor.varint(), cursor.varint(), cursor.varint()
    packed = cursor.take(cursor.varint())
    if size > MAX_METADATA_BYTES or forms > count or count and not forms:
        raise ValueError(f"{size} bytes of text, {count} rows of {forms} forms")
    unpacker = zlib.decompressobj(-15, DICTIONARY)
    plain = unpacker.decompress(packed, size + 1)
    texts = plain.decode().split("\0")
    if len(plain) != size or not unpacker.eof or len(texts) != forms + 1:
        raise ValueError(f"expected {size} bytes in {forms + 1} texts, found {len(plain)} in {len(texts)}")
    chosen = [cursor.varint() if forms > 1 else 0 for _ in range(count)]
    if any(form >= forms for form in chosen):
        raise ValueError("a row of a form that is not there")
    if sum(len(texts[1 + form]) for form in chosen) > MAX_METADATA_BYTES:
        raise ValueError("rows of more text than metadata may have")
    filled = [iter(_rows(texts[1 + form], chosen.count(form), cursor)) for form in range(forms)]
    cursor.done()
    head = json.loads(texts[0])
    rows = [json.loads(next(filled[form])) for form in chosen]
    return head | {"files": rows} if rows and isinstance(head, dict) else head


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _split(row: str) -> tuple[str, list[str]]:
    """A row's text with marks for its numbers, and these."""
    tokens: list[str] = []

    def mark(match: re.Match[str]) -> str:
        text = match.group()
        if text.isdigit():
            tokens.append(text)
            return NUMBER
        if len(text) > _LONG and repr(float(text)) == text:
            tokens.append(text)
            return FLOAT
        return re.sub(r"\d{1,12}", mark, text)

    return _TOKEN.sub(mark, row), tokens


def _form(skeleton: str, rows: Sequence[Sequence[str]]) -> tuple[str, bytes]:
    """The text of a form, with what all rows share in its place, and the content of its marks."""
    content, columns = [], list[list[str]]()
    marks = _MARK.findall(skeleton)
    places = iter(range(len(marks)))

    def fill(match: re.Match[str]) -> str:
        column = [row[next_place] for next_place in [next(places)] for row in rows]
        alike = len(set(column)) == 1
        if match.group() == FLOAT:
            content.append(b"".join(struct.pack("<d", float(n)) for n in (column[:1] if alike else column)))
            return SHARED if alike else FLOAT
        if alike:
            return column[0]
        content.append(_packed_column(column, columns))
        return NUMBER

    return _MARK.sub(fill, skeleton), b"".join(content)


def _packed_column(column: list[str], columns: list[list[str]]) -> bytes:
    """A column of digits; `columns`: those before it, to which it is added."""
    if column in columns and columns.index(column) < 256 - _REFERENCE:
        return bytes([_REFERENCE + columns.index(column)])
    columns.append(column)
    widths = {len(n) for n in column}
    width = widths.pop() if len(widths) == 1 else 0
    parts, last = [bytes([width])], None
    for text in column:
        parts += [] if width else [varint(len(text))]
        parts.append(varint(int(text)) if last is None else signed_varint(int(text) - last))
        last = int(text)
    return b"".join(parts)


def _rows(text: str, count: int, cursor: Cursor) -> list[str]:
    """The rows of a form."""
    pieces, marks = _MARK.split(text), _MARK.findall(text)
    rows: list[list[str]] = [[pieces[0]] for _ in range(count)]
    columns: list[list[str]] = []
    for mark, piece in zip(marks, pieces[1:]):
        column = _read_digits(cursor, count, columns) if mark == NUMBER else _read_floats(cursor, count, mark)
        for row, number in zip(rows, column):
            row += [number, piece]
    return ["".join(row) for row in rows]


def _read_floats(cursor: Cursor, count: int, mark: str) -> list[str]:
    read = 1 if mark == SHARED else count
    found = [repr(struct.unpack("<d", cursor.take(8))[0]) for _ in range(read)]
    return found * count if mark == SHARED else found


def _read_digits(cursor: Cursor, count: int, columns: list[list[str]]) -> list[str]:
    width = cursor.byte()
    if width >= _REFERENCE:
        if width - _REFERENCE >= len(columns):
            raise ValueError("a column like one that is not there")
        return columns[width - _REFERENCE]
    column, last = list[str](), None
    for _ in range(count):
        digits = width or cursor.varint()
        last = cursor.varint() if last is None else last + cursor.signed()
        if not 1 <= digits <= _DIGITS or not 0 <= last < 10**digits:
            raise ValueError(f"{last} in {digits} digits")
        column.append(f"{last:0{digits}d}")
    columns.append(column)
    return column
