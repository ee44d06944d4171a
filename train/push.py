"""Publish a model folder on the Hugging Face Hub, in one commit, with a card made from its figures.

    python -m train.push runs/model --repo USER/NAME --dry-run      # list what would go, no network
    python -m train.push runs/model --repo USER/NAME [--private] [--revision BRANCH | --create-pr]
    python -m train.push runs/model --repo USER/NAME --examples 2 --data HAM10000

Needs a token that may write, where huggingface_hub looks for it: `hf auth login`, or HF_TOKEN.
Only the files of a model go, its weights as safetensors; checkpoints and whatever else lies beside them stay.
The repository is created if need be, and so is the branch, from main. All goes in one commit: if the upload breaks
off, nothing of it can be seen on the Hub, and a second try need not send again what had arrived. The commit also
removes files of an earlier push that this model lacks, so that no two models mix.
Nothing is written into the model folder or the repository of this code.
"""

import argparse
import csv
import io
import re
import sys
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError, safe_open

from skin_lesion import examples, hub
from skin_lesion.classes import CODES
from skin_lesion.model import DECISION, METRICS, OOD, ModelError, load, read_metrics
from train.card import model_card
from train.command import command
from train.data import Record, add_data_argument, given_path, read_ham10000
from train.folder import ALTERED, CAPTIONS, EXPLANATIONS, FIGURES, FLIPPED, FOREIGN, MEASURED, PREDICTIONS, QUALITY
from train.parts import split_of
from train.split import merge_lesions

CARD = "README.md"
FILES = (*hub.FILES, *MEASURED, f"{examples.FOLDER}/{examples.CREDITS}")
EXTERNAL = re.compile(r"external_[\w.-]+\.csv")  # the answers of train.external
PICTURES = (FIGURES, examples.FOLDER)
BRANCH = re.compile(r"(?!refs/|[0-9a-f]{40}$)\w[\w-]*([./][\w-]+)*", re.ASCII)
LICENCE = "CC BY-NC 4.0"
WHOLE = "a push is one commit, so no half of it stands there."
NOTE = "photograph of a patient's lesion, held out of training"
CREDIT = "HAM10000, (c) ViDIR Group, Medical University of Vienna, https://doi.org/10.7910/DVN/DBW86T"

Upload = dict[str, Path | bytes]  # path in the repository -> a file, or its content


class PushError(RuntimeError):
    """The model cannot be published; the message says why and what to do."""


def is_part(path: str) -> bool:
    """Whether a file belongs to a published model, by its path in the folder; its card is made anew."""
    folder, _, name = path.rpartition("/")
    return path in FILES or bool(EXTERNAL.fullmatch(path) or (folder in PICTURES and examples.NAME.fullmatch(name)))


def _told_of(metrics: dict[str, Any]) -> set[str]:
    """The files that belong to the figures in metrics.json."""
    names = {PREDICTIONS, FLIPPED, ALTERED, QUALITY, *(f"{FIGURES}/{name}" for name in CAPTIONS)}
    if "calibration" in metrics:
        names |= {DECISION, OOD, FOREIGN}
    if "explanations" in metrics:
        names.add(EXPLANATIONS)
    return names | {f"external_{name}.csv" for name in metrics.get("external", {})}


def what_to_upload(folder: Path, repo: str) -> Upload:
    """The files of a model folder, with the card of this repository.

    Raises:
        ModelError: the folder does not load, or has no held-out figures.
    """
    load(f"local-dir:{folder}")
    metrics = read_metrics(folder)
    if "test" not in metrics:
        raise ModelError(
            f"{folder / METRICS} has no held-out figures, and without them nobody can judge the model: "
            f"run python -m train.evaluate {folder} --data HAM10000 first."
        )
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    told_of = _told_of(metrics)
    if missing := sorted(told_of - set(there)):
        raise ModelError(
            f"{folder} lacks {', '.join(missing)}, of which its {METRICS} and card tell. Put back what was taken out, "
            "or measure again: train.calibrate, train.evaluate, train.explain_eval and train.external write them."
        )
    # answers to another set of images go along if a figure is of them
    ours = [name for name in there if is_part(name) and (name in told_of or not EXTERNAL.fullmatch(name))]
    upload: Upload = {name: there[name] for name in ours}
    for path in (there[name] for name in upload if name.endswith(".safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:  # a pickle under this name could run code at whoever loads it
            raise ModelError(f"{path} is not a safetensors file ({error}); make it again.") from error
    if left_out := sorted(set(there) - set(upload) - {CARD}):
        more = f" and {len(left_out) - 8} more" if len(left_out) > 8 else ""
        print(f"not part of a model, stays here: {', '.join(left_out[:8])}{more}")
    return upload | {CARD: model_card(metrics, repo).encode()}


def held_out_examples(folder: Path, data: Path, count: int) -> Upload:
    """`count` held-out images of each class, or as many as there are, each of another lesion; with credits.csv.

    Raises:
        DataError, ModelError: the data cannot be read, or gives another split than the model's.
        PushError: an image is larger than the app would show.
    """
    records = read_ham10000(data)
    lesions = merge_lesions(records)
    test = split_of(records, read_metrics(folder), folder)["test"]
    first = {lesions[record.image_id]: record for record in reversed(test)}  # the first image of each lesion
    chosen: list[Record] = []
    for code in CODES:
        chosen += sorted((r for r in first.values() if r.dx == code), key=lambda r: r.image_id)[:count]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "class", "source", "licence", "note"])
    upload: Upload = {}
    for record in chosen:
        if size(record.path) > examples.MAX_BYTES:
            raise PushError(
                f"{record.path} has {size(record.path):,} bytes, and the app shows no example of more than "
                f"{examples.MAX_BYTES:,}. HAM10000's own images are smaller: use those, or leave --examples out."
            )
        writer.writerow([record.path.name, record.dx, CREDIT, LICENCE, NOTE])
        upload[f"{examples.FOLDER}/{record.path.name}"] = record.path
    return upload | {f"{examples.FOLDER}/{examples.CREDITS}": table.getvalue().encode()}


def push(upload: Upload, repo: str, private: bool, revision: str | None, create_pr: bool) -> CommitInfo:
    """Create the repository if need be and upload in one commit: all of it arrives, or nothing."""
    if not get_token():
        raise PushError("The Hub wants to know who you are. Log in with 'hf auth login', or set HF_TOKEN.")
    api = HfApi()
    api.create_repo(repo, private=private or None, exist_ok=True)
    if private and not api.model_info(repo).private:
        raise PushError(f"{repo} exists already and is public. Make it private in its settings, or drop --private.")
    if revision:
        create_branch(api, repo, revision)
    # examples too: this model may have been trained on what an earlier one held out
    stale = [p for p in api.list_repo_files(repo, revision=revision) if is_part(p) and p not in upload]
    # not upload_folder: it may split a large folder into several commits
    return api.create_commit(
        repo,
        [
            *(CommitOperationDelete(path) for path in stale),
            *(CommitOperationAdd(path, source) for path, source in upload.items()),
        ],
        commit_message="Upload model, figures and card",
        revision=revision,
        create_pr=create_pr,
    )


def create_branch(api: HfApi, repo: str, branch: str) -> None:
    """From main, if it does not exist: as 'hf upload --revision' does."""
    try:
        api.model_info(repo, revision=branch)
    except RevisionNotFoundError:
        api.create_branch(repo, branch=branch, exist_ok=True)
        print(f"created the branch {branch} of {repo}, from main")


def next_step(error: Exception, repo: str) -> str:
    """One sentence or two for what huggingface_hub raised: what is wrong, and what to do."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status == 401:
        return "The Hub does not accept your token. Log in again with 'hf auth login', or set HF_TOKEN to a valid one."
    if status == 403:
        return (
            f"Your token may not write to {repo}. Use one with write permission for {repo.split('/')[0]!r}, "
            "or give --repo a name of your own."
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"There is no model {repo} on the Hub that your token may see. Check --repo and the token."
    said = re.sub(r"For more information check: \S+", "", str(error.__cause__ or error))  # a page on HTTP
    reason = " ".join(said.split())[:300].rstrip(". ") or type(error).__name__
    if status is None and isinstance(error, (HTTPError, ConnectionError)):
        return f"The Hub cannot be reached or broke off ({reason}). Check the network and run this again; {WHOLE}"
    return f"The Hub refused or broke off the upload ({reason}). Run this again; {WHOLE}"


def size(source: Path | bytes) -> int:
    """Bytes."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def run(args: argparse.Namespace) -> None:
    if args.repo.count("/") != 1:
        raise PushError(f"--repo {args.repo!r} is not of the form USER/NAME, for example ada/skin-lesion.")
    try:
        validate_repo_id(args.repo)
    except HFValidationError as error:
        raise PushError(f"--repo {args.repo!r} is not a name that the Hub allows: {error}") from error
    if args.revision is not None and not BRANCH.fullmatch(args.revision):
        raise PushError(
            f"--revision {args.revision!r} is not the name of a branch, such as dev or v1.1: letters, digits, _ and -, "
            "with single . and / between them; no commit, no refs/. To propose a change use --create-pr."
        )
    if not 0 <= args.examples <= examples.MAX_PER_CLASS:
        raise PushError(
            f"--examples {args.examples} is not a number of images a class from 0 to {examples.MAX_PER_CLASS}."
        )
    if args.examples and not args.data:
        raise PushError("--examples takes its images from HAM10000: add --data DIR, or set HAM10000_DIR.")
    upload = what_to_upload(args.model, args.repo)
    if args.examples:
        upload = {path: source for path, source in upload.items() if not path.startswith(f"{examples.FOLDER}/")}
        upload |= held_out_examples(args.model, args.data, args.examples)
    for path, source in upload.items():
        print(f"{size(source):12,} bytes  {path}")
    total = f"{len(upload)} files, {sum(map(size, upload.values())):,} bytes"
    if args.dry_run:
        print(f"dry run: {total} would go to {args.repo}; nothing was sent")
        return
    try:
        commit = push(upload, args.repo, args.private, args.revision, args.create_pr)
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, PushError):
            raise
        raise PushError(next_step(error, args.repo)) from error
    print(f"pushed: {total}, {commit.pr_url or commit.commit_url}")
    print(f"revision: {commit.oid}")
    print(f'load it:  skin_lesion.load("hf-hub:{args.repo}@{commit.oid}")')
    print(f'or:       timm.create_model("hf-hub:{args.repo}@{commit.oid}", pretrained=True)')


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m train.push", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", type=given_path, metavar="MODEL", help="a model folder that train.evaluate has been run on")
    add("--repo", required=True, metavar="USER/NAME", help="created if it does not exist")
    add("--private", action="store_true", help="create it private")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--revision", metavar="BRANCH", help="created from main if it is new (default: main)")
    where.add_argument("--create-pr", action="store_true", help="open a pull request in place of a commit on main")
    add("--dry-run", action="store_true", help="list what would be uploaded; needs neither network nor token")
    shown = f"add N held-out images a class, at most {examples.MAX_PER_CLASS}, with their credits; the app shows them"
    add("--examples", type=int, default=0, metavar="N", help=shown)
    add_data_argument(parser, required=False)
    return parser.parse_args(argv)


@command("train.push", PushError)
def main(argv: list[str] | None = None) -> int:
    run(parse(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
