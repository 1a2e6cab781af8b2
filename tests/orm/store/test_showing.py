"""What rows print as, in a terminal and in a notebook."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import small_store

from aiqc_core.orm import BaseModel, Dataset, Job, Queue, Splitset, metastore
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.showing import SHOWN

if TYPE_CHECKING:
    from pathlib import Path


def test_a_row_says_what_it_is_made_of_and_how_far_it_is(home: Path) -> None:
    """It was `<Queue: 3>`."""
    small_store.fill()
    blobs.BlobChunk.delete().execute()  # nothing of that may be read
    queue = Queue.get_by_id(1)
    line = "Queue(id=1, algorithm=1, splitset=1, repeat_count=1, runs_completed=0, total_runs=1)"
    assert (repr(queue), str(queue), f"{queue}") == (line, line, line)
    assert repr(Dataset.get_by_id(1)).startswith(
        "Dataset(id=1, name='kept', version=1, typ='tabular', shape={'samples': 20000"
    )
    assert "sizes={" in repr(Splitset.get_by_id(1))
    assert "run_jobs()" in queue._repr_html_()


def test_each_table_has_a_line_of_its_own(home: Path) -> None:
    small_store.fill()
    for table in BaseModel.__subclasses__():
        known = {*table._meta.fields, *(n for n in dir(table) if not n.startswith("_"))}
        assert set(SHOWN.get(table.__name__, ())) <= known
        for row in table.select():
            assert repr(row).startswith(f"{table.__name__}(id={row.id}")


def test_lists_print_as_their_rows(home: Path) -> None:
    small_store.fill()
    assert repr(Dataset.select()) == repr(Dataset.get_by_id(1))
    assert repr(Queue.get_by_id(1).jobs) == repr(Job.get_by_id(1))
    assert repr(Job.select().where(Job.id > 1)) == "no Job"
    Dataset.update(name="<b>").execute()
    assert "&lt;b&gt;" in Dataset.select()._repr_html_()


def test_a_row_of_a_store_that_is_gone_prints_and_begins_none(home: Path) -> None:
    small_store.fill()
    queue, jobs = Queue.get_by_id(1), Job.select()
    metastore.close()
    shutil.rmtree(home)
    assert repr(queue) == "Queue(id=1, algorithm=1, splitset=1, repeat_count=1, total_runs=1)"
    assert repr(jobs) == "no Job"
    assert not home.exists()
