"""Columns of a table: find the ids and the tags, including one-hot columns and one row per tag."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from wsvs.core.delimited import NAMES, check_one_line
from wsvs.core.errors import UserError
from wsvs.core.tag_cells import EMPTY, read_cells

HELP = "use a heading line and then rows of id and comma-separated tags (tsv or csv), or a json object {id: [tags]}"
_FILES = r"(image|img|photo|picture|video|clip|film|movie|file)s?"
_ENDS = r"name|file|filename|file[ _-]name|basename|fname|path|url|uri|src"
_FILE_NAMES = re.compile(rf"({_FILES}[ _-]?)?({_ENDS})?", re.IGNORECASE)
_ID = re.compile(
    rf"(({_FILES}|(sequence|shot|frame|item|sample)s?)[ _-]?)?({_ENDS}|id|ids|names|key|stem|number|index)?",
    re.IGNORECASE,
)
_TAGS = re.compile(r"(tags?|labels?|class(es)?)$", re.IGNORECASE)
_NUMBERED = re.compile(r"(tag|label|class|category)s?[ _-]?\d+", re.IGNORECASE)
_WIDER = re.compile(
    r"(tags?|labels?|class(es)?|categor(y|ies)|choices?|keywords?|species|breeds?)([ _-]?(names?|list|text))?$",
    re.IGNORECASE,
)
_ONLY_TAGS = re.compile(r"tags?|labels?|class(es)?|categor(y|ies)|choices?|keywords?", re.IGNORECASE)
_COUNTER = re.compile(r"(index|unnamed: ?\d+)?", re.IGNORECASE)
_HAS_SUFFIX = re.compile(r".*\.[a-z][a-z0-9]{1,4}", re.IGNORECASE | re.DOTALL)
_OTHER_TEXT = (
    "split set subset fold partition width height depth channels size w h x y xmin ymin xmax ymax x1 y1 x2 y2 bbox "
    "area source url author license date time timestamp createdat updatedat annotator annotationid leadtime md5 sha256 "
    "caption description comment comments note notes classid labelid categoryid iscrowd"
)
_OTHER = frozenset(_OTHER_TEXT.split())  # other columns of tables of images, letters and digits only
_PRESENT = frozenset(("confidence", "present", "presence", "ispresent", "exists", "positive", "score", "probability"))
_MARKS = tuple(
    (frozenset(yes.split()), frozenset(no.split()))
    for yes, no in (
        ("1 1.0", "0 0.0 -1 -1.0"),
        ("true", "false"),
        ("yes", "no"),
        ("y", "n"),
        ("t", "f"),
        ("x ✓ ✔ *", ""),
    )
)

Row = tuple[str, list[str]]
"""(location, cells)."""


@dataclass
class Entries:
    """Content of a file: (where, id, tags) of every row.

    Attributes:
        format: Description of the format.
        notes: Further findings.
        single: Rows have at most one tag, so that an id may have several rows.
    """

    format: str
    rows: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    single: bool = False


def read_columns(
    heading: Sequence[str], rows: Sequence[Row], where: str, known: Collection[str] = (), delimiter: str = ","
) -> Entries:
    """Ids and tags of a table with a heading.

    Raises:
        UserError: No heading, or columns with an ambiguous meaning.
    """
    table = _Columns([name.strip() for name in heading], rows, where)
    if marks := table.one_hot():
        return table.read_one_hot(marks)
    return table.read_tags(table.tag_columns(delimiter), known)


class _Columns:
    def __init__(self, heading: list[str], rows: Sequence[Row], where: str) -> None:
        self.heading, self.rows, self.where = heading, rows, where
        self.id = self._id_column()
        self.kept = [k for k in range(len(heading)) if k != self.id and any((heading[k], *self.cells(k)))]
        self.kept = [k for k in self.kept if not self._counts(k) and not self._names_files(k)]
        self.plain = [k for k in self.kept if _letters(heading[k]) not in _OTHER]

    def cells(self, k: int) -> list[str]:
        return [row[k].strip() for _, row in self.rows if k < len(row)]

    def values(self, columns: Iterable[int]) -> set[str]:
        """Cells of the columns in lower case, without empty markers."""
        found = {cell.casefold() for k in columns for cell in self.cells(k)}
        return {value for value in found if value and value not in EMPTY}

    def named(self, columns: Iterable[int]) -> str:
        return ", ".join(repr(self.heading[k]) for k in columns)

    def _id_column(self) -> int:
        """The first column, unless it is a counter or not a file name and another column is one."""
        first, others = self.heading[0], range(1, len(self.heading))
        if self._is(_ID, 0) and not self._counts(0):
            return 0
        files = [k for k in others if self._names_files(k)]
        if files and not all(map(_HAS_SUFFIX.fullmatch, self.cells(0))):
            return files[0]
        no_id = _letters(first) in _OTHER or _WIDER.search(first) or (_COUNTER.fullmatch(first) and self._counts(0))
        return next((k for k in others if self._is(_ID, k)), 0) if no_id else 0

    def _counts(self, k: int) -> bool:
        """Whether a column is an index, such as pandas writes, or numbers the rows."""
        cells = self.cells(k)
        named = _ID.fullmatch(self.heading[k]) or _COUNTER.fullmatch(self.heading[k])
        return bool(named) and 0 < len(cells) == len(set(cells)) and all(cell.isdigit() for cell in cells)

    def _names_files(self, k: int) -> bool:
        return self._is(_FILE_NAMES, k) and bool(self.rows) and all(map(_HAS_SUFFIX.fullmatch, self.cells(k)))

    def _is(self, pattern: re.Pattern[str], k: int) -> bool:
        return bool(self.heading[k] and pattern.fullmatch(self.heading[k]))

    def tag_columns(self, delimiter: str) -> list[int]:
        """The columns with tags. Raises `UserError` if the first line is not a heading, since its row would be lost."""
        narrow = [k for k in self.plain if _TAGS.search(self.heading[k])]
        wider = [k for k in self.plain if _WIDER.search(self.heading[k])]
        words = [k for k in (*narrow, *wider) if not all(map(str.isdigit, self.values([k])))]
        numbered = [k for k in self.plain if self._is(_NUMBERED, k)]
        if narrow and (words[:1] or narrow)[0] in narrow:
            return (words or narrow)[:1]
        if numbered or wider:
            return numbered or (words or wider)[:1]
        if len(self.heading) > 1 and self._is(_ID, self.id) and self.plain:
            columns = self.plain if delimiter == "," else self.plain[:1]
            self._check_words(columns)
            return columns
        split, line = NAMES[delimiter], delimiter.join(("id", "tags")).replace("\t", "<TAB>")
        raise UserError(
            f"the first line is not a heading: {delimiter.join(self.heading)!r}",
            where=self.where,
            remedy=f"insert a line above it: {line} (columns are separated by {split})",
        )

    def _check_words(self, columns: Sequence[int]) -> None:
        """Raises `UserError` for columns of numbers or marks whose heading does not say tags."""
        numbers = [k for k in columns if self.values([k]) and all(map(_is_number, self.values([k])))]
        marks = [k for k in columns if self.values([k]) and k not in numbers and _family(self.values([k])) is not None]
        if numbers == list(columns):
            raise UserError(
                f"columns of numbers other than 1 and 0: {self.named(numbers[:5])}",
                where=self.where,
                remedy="convert counts or scores to one-hot columns: 1 if the image shows the class, else 0; "
                "or put the tags into one column with the heading tags",
            )
        if numbers or marks:
            raise UserError(
                f"it is unclear which columns are tags: {self.named([*numbers, *marks][:5])} contain numbers or marks, "
                "others words",
                where=self.where,
                remedy="name the column of tags 'tags', or remove the other columns",
            )

    def one_hot(self) -> tuple[frozenset[str], frozenset[str]] | None:
        """The marks for yes and no of a table with a column for each class; None for other tables.

        Raises:
            UserError: The marks are 1, 0 and -1, whose meaning differs between data sets.
        """
        headings = [self.heading[k] for k in self.plain]
        values = self.values(self.plain)
        family = _family(values)
        if not headings or family is None or any(map(_ONLY_TAGS.fullmatch, headings)):
            return None
        if not self._is(_ID, self.id) and _family({name.casefold() for name in headings if name}) is not None:
            return None  # the first line is a row, not a heading
        yes, no = family
        if values & {"-1", "-1.0"} and (values & {"0", "0.0"} or not values & yes):
            raise UserError(
                "one-hot columns with 1, 0 and -1: the meaning of 0 and -1 differs between data sets",
                where=self.where,
                remedy="write 1 if the image shows the class and 0 if it does not; remove rows of images on which the "
                "annotators were uncertain",
            )
        empty = any(cell.casefold() in EMPTY or not cell for k in self.plain for cell in self.cells(k))
        if not values & yes or not (values & no or empty or len(headings) > 1):
            return None
        return frozenset(values & yes), frozenset(values & no)

    def read_one_hot(self, marks: tuple[frozenset[str], frozenset[str]]) -> Entries:
        yes, no = marks
        found = Entries(f"one-hot columns ({', '.join((*sorted(yes), *sorted(no)))})")
        unnamed = [k for k in self.plain if not self.heading[k]]
        if unnamed:
            raise UserError("a one-hot column without a heading", where=self.where, remedy="name its class")
        for where, row in self.rows:
            if len(row) <= self.plain[-1] or any(cell.strip() for cell in row[len(self.heading) :]):
                raise UserError(
                    f"a row of {len(row)} cells under a heading of {len(self.heading)}",
                    where=where,
                    remedy="give every row a cell for each class",
                )
            check_one_line([row[self.id]], where)
            tags = tuple(self.heading[k] for k in self.plain if row[k].strip().casefold() in yes)
            found.rows.append((where, row[self.id].strip(), tags))
        if len(self.kept) > len(self.plain):
            unused = self.named(k for k in self.kept if k not in self.plain)
            found.notes.append(f"columns that are not classes: {unused}")
        return found

    def read_tags(self, columns: list[int], known: Collection[str]) -> Entries:
        absent = self._absent([k for k in self.kept if k not in columns])
        cells: list[tuple[str, str]] = []
        for where, row in self.rows:
            if len(row) <= max(columns[0], self.id):
                raise UserError(f"expected an id and tags, got {row!r}", where=where, remedy=HELP)
            extra = [cell for cell in row[len(self.heading) :] if cell.strip()]
            if extra and columns[-1] != len(self.heading) - 1:
                raise UserError(
                    f"a row of {len(row)} cells under a heading of {len(self.heading)}",
                    where=where,
                    remedy="put cells that contain commas into double quotes",
                )
            own = [*(row[k] for k in columns if k < len(row)), *extra]
            check_one_line([row[self.id], *(cell for cell in own if not cell.rstrip().endswith(("]", ")")))], where)
            if where not in absent:
                cells += [(where, cell) for cell in own]
        values = self.values(columns)
        if values and not values <= set(known) and _family(values) in (_MARKS[0], _MARKS[1]):
            raise UserError(
                f"column {self.named(columns)} contains only {' and '.join(sorted(values))}, not names of classes",
                where=self.where,
                remedy=f"write the class as the heading instead of {self.heading[columns[0]]!r}, or names of classes "
                "in the cells",
            )
        read = read_cells(cells, known)
        tags: dict[str, tuple[str, ...]] = {}
        for (where, _), some in zip(cells, read.tags, strict=True):
            tags[where] = tuple(dict.fromkeys(tags.get(where, ()) + some))
        kinds = (kind.removeprefix("tags ") for kind in read.kinds)
        found = Entries(", ".join([f"tags in {self.named(columns)}", *kinds]))
        found.rows = [(where, row[self.id].strip(), tags.get(where, ())) for where, row in self.rows]
        found.single = all(len(some) <= 1 for some in tags.values())
        if any(_letters(name) in ("annotator", "annotationid") for name in self.heading):
            self._check_agreement(found)
        if read.marks:
            count = sum(read.marks.values())
            found.notes.append(f"cells with an empty marker ({', '.join(read.marks)}), read as no tag: {count}")
        if absent:
            found.notes.append(f"rows that mark their tag as absent: {len(absent)}")
        if values and not values <= set(known) and all(map(_is_number, values)):
            found.notes.append("the tags are numbers: if they are class numbers, write the names instead")
        return found

    def _check_agreement(self, found: Entries) -> None:
        """Keep one row per image if its annotators agree. Raises `UserError` if they do not."""
        seen: dict[str, tuple[str, str, tuple[str, ...]]] = {}
        for where, name, tags in found.rows:
            first = seen.setdefault(name, (where, name, tags))
            if set(first[2]) != set(tags):
                said = f"{', '.join(first[2]) or 'nothing'} / {', '.join(tags) or 'nothing'}"
                raise UserError(
                    f"annotators disagree on {name} ({said})",
                    where=f"{first[0]} and {where}",
                    remedy="keep one row per image, or the rows of one annotator",
                )
        found.rows = list(seen.values())

    def _absent(self, columns: Iterable[int]) -> set[str]:
        """Rows whose column "confidence", "present", ... is no, as in Open Images or a melted table.

        Raises:
            UserError: Such a column has values between yes and no.
        """
        found: set[str] = set()
        for k in columns:
            values = self.values([k])
            if _letters(self.heading[k]) not in _PRESENT or not values:
                continue
            family = _family(values)
            if family is None or values & {"-1", "-1.0"}:
                raise UserError(
                    f"column {self.heading[k]!r} has values other than 1 and 0, so it is unclear which tags apply",
                    where=self.where,
                    remedy="keep the rows that you trust, and remove this column",
                )
            found |= {where for where, row in self.rows if k < len(row) and row[k].strip().casefold() in family[1]}
        return found


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).casefold()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _family(values: Collection[str]) -> tuple[frozenset[str], frozenset[str]] | None:
    """The pair of marks for yes and no to which all values belong; None if there is none."""
    return next(((yes, no) for yes, no in _MARKS if values and yes | no >= set(values)), None)
