import shutil

import pytest

from train.cache import load_images
from train.data import MASKS, DataError, open_mask, read_ham10000


@pytest.fixture
def copy(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "ham")


def edit(folder, old: str, new: str, count: int = -1) -> None:
    table = folder / "HAM10000_metadata.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, count))


def test_reads_every_row_sorted_by_image(dataset):
    records = read_ham10000(dataset)
    assert len(records) == 84
    assert [r.image_id for r in records] == sorted(r.image_id for r in records)
    assert all(r.path.is_file() for r in records)
    assert records[0].age == 50.0 and records[0].label == 0


def test_missing_folder_says_where_to_download(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere.* Download HAM10000 from https://doi.org"):
        read_ham10000(tmp_path / "nowhere")


def test_another_folder_says_what_was_found_there(tmp_path):
    (tmp_path / "cats.txt").touch()
    with pytest.raises(DataError, match="no HAM10000_metadata.csv .found there: cats.txt"):
        read_ham10000(tmp_path)


def test_missing_column_is_named(copy):
    edit(copy, "dx_type", "kind", 1)
    with pytest.raises(DataError, match=r"lacks the column\(s\) dx_type; it has: lesion_id, image_id, dx, kind"):
        read_ham10000(copy)


def test_missing_images_are_counted_and_the_first_named(copy):
    for number in (3, 4, 5):
        next(copy.rglob(f"ISIC_{number:07d}.jpg")).unlink()
    with pytest.raises(DataError, match="3 of 84 images .* the first: ISIC_0000003, ISIC_0000004, ISIC_0000005"):
        read_ham10000(copy)


def test_unknown_diagnosis_is_counted_and_the_valid_ones_listed(copy):
    edit(copy, ",mel,", ",scc,")
    with pytest.raises(DataError, match=r"'scc' \(12 rows\)\. Valid: akiec, bcc"):
        read_ham10000(copy)


def test_double_ids_are_named(copy):
    edit(copy, "ISIC_0000001", "ISIC_0000000")
    with pytest.raises(DataError, match=r"1 image_id\(s\) more than once; the first: ISIC_0000000"):
        read_ham10000(copy)


def test_bad_age_and_broken_row_are_named(copy):
    edit(copy, "50.0", "fifty", 1)
    with pytest.raises(DataError, match="ISIC_0000000: age 'fifty'"):
        read_ham10000(copy)
    for age in ("nan", "-5", "900"):
        edit(copy, ",fifty,", f",{age},", 1)
        with pytest.raises(DataError, match=f"ISIC_0000000: age '{age}' is no age"):
            read_ham10000(copy)
        edit(copy, f",{age},", ",fifty,", 1)
    edit(copy, ",fifty,male,back", "", 1)
    with pytest.raises(DataError, match=r"1 broken row\(s\); the first is line 2"):
        read_ham10000(copy)


def test_empty_age_is_unknown(copy):
    edit(copy, "50.0", "")
    assert {r.age for r in read_ham10000(copy)} == {None}


def test_a_table_that_is_no_utf_8_is_named(copy):
    table = copy / "HAM10000_metadata.csv"
    table.write_bytes(table.read_text().encode("utf-16"))
    with pytest.raises(DataError, match="HAM10000_metadata.csv is not UTF-8 text .*; download it again, or save it as"):
        read_ham10000(copy)


def test_a_table_with_a_stray_quote_is_named(copy):
    table = copy / "HAM10000_metadata.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:5], '"' + lines[5], *lines[6:], "x" * 200_000]))
    with pytest.raises(DataError, match="HAM10000_metadata.csv, near line .*; download it again"):
        read_ham10000(copy)


def test_a_link_that_leads_nowhere_is_named(copy):
    record = read_ham10000(copy)[0]
    record.path.unlink()
    record.path.symlink_to("nowhere.jpg")
    with pytest.raises(DataError, match=f"{record.path} cannot be read"):
        load_images(read_ham10000(copy), 32)


def test_a_table_without_rows_is_refused(copy):
    table = copy / "HAM10000_metadata.csv"
    table.write_text(table.read_text().splitlines()[0] + "\n")
    with pytest.raises(DataError, match="no rows"):
        read_ham10000(copy)


@pytest.mark.parametrize("kept", [0, 40, -30])
def test_a_damaged_mask_is_named_and_what_to_do(copy, kept):
    """Empty, cut in its head, cut near its end."""
    record = read_ham10000(copy)[0]
    path = copy / MASKS / f"{record.image_id}_segmentation.png"
    assert open_mask(record, copy).mode == "L"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=f"{path} is damaged or incomplete; unpack {MASKS}.zip again"):
        open_mask(record, copy)


def test_the_dataverse_layout_reads_the_same(copy, dataset):
    """Metadata separated by tabs and quoted, images one folder deeper, as its archives unpack."""
    table = copy / "HAM10000_metadata.csv"
    rows = [",".join(f'"{value}"' for value in line.split(",")) for line in table.read_text().splitlines()]
    (copy / "HAM10000_metadata.tab").write_text("\n".join(rows).replace(",", "\t") + "\n")
    table.unlink()
    inner = copy / "HAM10000_images_part_1" / "HAM10000_images_part_1"
    inner.mkdir()
    for path in list(inner.parent.glob("*.jpg")):
        path.rename(inner / path.name)

    def facts(folder):
        return [(r.image_id, r.lesion_id, r.dx, r.age, r.path.name) for r in read_ham10000(folder)]

    assert facts(copy) == facts(dataset)
