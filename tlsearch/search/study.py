"""One search from start to end: data -> trials -> winner -> export -> report."""

import contextlib
import shlex
from collections.abc import Callable, Generator, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from tlsearch.base.errors import StudyError, TlsearchError
from tlsearch.base.phases import phase
from tlsearch.bundle.manifest import incomplete_error
from tlsearch.config.device import DeviceProfile
from tlsearch.config.location import Location, subfolder
from tlsearch.config.requirements import require_packages, warn_before_search
from tlsearch.config.schema import SearchConfig
from tlsearch.config.trial_config import TrialConfig
from tlsearch.data.sources import ImageData
from tlsearch.results.live.events import Exporting, Listen, Listeners, Stopping
from tlsearch.results.live.pulse import heartbeat
from tlsearch.results.live.time_left import TRIALS
from tlsearch.results.rank.confirmation import winner
from tlsearch.results.rank.leaderboard import leaderboard_of
from tlsearch.results.rank.perfect import continued_after_perfect, perfect_message, perfect_trial
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.results.record.journal import network_digests
from tlsearch.results.record.seal import seal
from tlsearch.results.remote.driver import DriversStudy, hold_study
from tlsearch.results.report.report_folder import write_report
from tlsearch.search.announce import (
    TrialEndHandler,
    begin_event,
    default_listener,
    ended_event,
    follow_in_tensorboard,
    so_far,
)
from tlsearch.search.budget import Budget
from tlsearch.search.ending import Ending, end_on_signals
from tlsearch.search.extend import Extension, extend_config, extension_entry, plain_config
from tlsearch.search.handle import Study, location_of, require_same_images
from tlsearch.search.ongoing import Search
from tlsearch.search.requested import Arrays, Space, checked_config
from tlsearch.search.trial.prepared_images import describe, read_images, require_weight_files
from tlsearch.search.trial.weight_files import file_digests, require_same_files
from tlsearch.search.winner.artifacts import write_data
from tlsearch.store.users import mark_used

if TYPE_CHECKING:
    from tlsearch.search.winner.confirm import Stage
    from tlsearch.search.winner.export_worker import ExportWorker


def run(
    space: Space,
    directory: Location | None = None,
    listen: Listen | None = None,
    data: Arrays | None = None,
) -> Study:
    """Run a search to its end in a new study directory, at a path or a URL.

    `space` is a checked configuration, plain values as in YAML, a file, or the name of a shipped
    space. `data` replaces its data by images (n, height, width[, 3]) uint8 and labels (n,), which
    are integers or names.

    Raises ConfigError if a study already exists there, DataError or StorageError before the first
    trial, StudyError if no trial succeeds. A search that the user or an error cuts short is ranked
    and returned, with `ended_by` set. So is one that could not be uploaded to its bucket, and one
    whose exported model lacks a format.

    `listen` is called with each event of `results.live.events`; `str(event)` is its line for
    people. A listener that raises is removed, with a warning. By default a notebook or a Python
    prompt prints the lines; elsewhere they are logged.
    """
    since = monotonic()
    config = checked_config(space, data=data).anchored()
    require_packages(config)
    require_weight_files(config)
    warn_before_search(config)
    listeners = Listeners(listen or default_listener())
    with (
        heartbeat(listeners) as hear,
        hold_study(directory or subfolder(config.storage, config.name), new=True) as work,
        work.mirrored(config.sync_s),
    ):
        follow_in_tensorboard(config, work.home, listeners)
        study = _search(config, work, read_images(config, hear), hear, since)
    study.ended_by = work.unsent or study.ended_by
    return study


def resume(
    study: Study | Location,
    listen: Listen | None = None,
    *,
    trials: int | str | None = None,
    time: float | str | None = None,
    settings: Sequence[str] = (),
) -> Study:
    """Continue a study: finished trials stay, unfinished ones continue, the remaining ones are run.

    `trials` (40, or "+20" more), `time` ("30m", "+10m", or seconds) and `settings` ("KEY=VALUE")
    extend it, finished or not. Raises ConfigError for changes after which old and new trials could
    not be compared, RecordError if another driver is running the study or the images have changed,
    WeightsError if the pretrained weights have changed.
    """
    since = monotonic()
    extension = Extension(_text(trials), _text(time), tuple(settings))
    listeners = Listeners(listen or default_listener())
    with heartbeat(listeners) as hear, hold_study(location_of(study), new=False) as work:
        handle = Study(work.home)
        config = extend_config(handle.config, extension, *so_far(work.home))
        require_packages(config)
        if config != handle.config:
            require_weight_files(config)
            warn_before_search(config)
        require_same_files(work.home, handle.about, config)
        with work.mirrored(config.sync_s):
            follow_in_tensorboard(config, work.home, listeners)
            data = read_images(config, hear)
            require_same_images(handle, data)
            done = _search(config, work, data, hear, since)
    done.ended_by = work.unsent or done.ended_by
    return done


def _text(value: float | str | None) -> str | None:
    return None if value is None else str(value)


def _search(
    config: SearchConfig, work: DriversStudy, data: ImageData, listen: Listen, since: float
) -> Study:
    from tlsearch.search.cluster.preflight import require_ready
    from tlsearch.search.cluster.ray_session import connect
    from tlsearch.search.cost.device_choice import chosen_device
    from tlsearch.search.cost.forecast import learn_from_search

    home = work.home
    budget = Budget(config.time_budget, so_far(home)[1], config.confirm > 0)
    ending = Ending(shlex.quote(home.location), on_interrupt=lambda: listen(Stopping()))
    work.when_lost(ending.fail)
    # No thread may compute while Ray starts: Ray forks, and NumPy's threads do not survive a fork.
    # Ray sets its own SIGTERM handler when it starts, so ours are set after that.
    with contextlib.ExitStack() as whole:
        with (
            mark_used(data.images_path),
            connect(config.resources) as slots,
            end_on_signals(ending),
        ):
            with phase("starting", 2, "steps") as counter:
                require_ready(config, home)
                counter.advance()
                home.sweep()
                device = chosen_device(config, home)
                write_study_file(config, home, data, device)
                counter.advance()
            config = config.model_copy(update={"precision": device.precision})
            search = Search(config, home, data, ending, listen, slots, device, budget, since)
            listen(begin_event(search))
            whole.enter_context(learn_from_search(search))
            _trials_and_winner(search)
            seal_study(search)
        return conclude(search)


def _trials_and_winner(search: Search) -> None:
    """Run the trials, then confirm, export and test the winner."""
    from tlsearch.search.winner.baselines import Baselines
    from tlsearch.search.winner.export_worker import export_worker

    baselines = Baselines(search.data) if search.config.metric == "accuracy" else None
    with search.ending.on_disk_error(), export_worker(search.config) as exporter:

        def begin() -> None:
            exporter.begin()
            if baselines is not None:
                baselines.begin()

        confirmed = run_and_confirm(search, begin, partial(_prepare_export, search, exporter))
        note_networks(search)
        if baselines is not None and search.home.journal.begun:
            with phase("measuring baselines"):
                search.note({"baselines": baselines.scores()})
        if not search.ending.cut_short:
            _finish(search, exporter, confirmed)


def seal_study(search: Search) -> None:
    """Write the time that the study took as the journal's last line, and seal the journal."""
    with search.ending.on_disk_error():
        search.note(search.budget.facts)
        seal(search.home.journal_file)


def conclude(search: Search) -> Study:
    """Write the report of a search that is over, if the disk has room for it; return its study.

    Raises the error that ended the search, else StudyError, if no trial succeeded and the user did
    not interrupt the search.
    """
    home, ending = search.home, search.ending
    search.listen(ended_event(search))
    study = Study(home)
    with phase("reporting"), ending.on_disk_error():
        write_report(home, leaderboard_of(home))
    study.ended_by = ending.interrupted or ending.error or incomplete_error(study.left_out())
    if study.winner() is None and ending.interrupted is None:
        lost = StudyError(f"{home.location}: no trial succeeded; see the logs under trials/")
        raise ending.error or lost
    return study


def write_study_file(
    config: SearchConfig, home: StudyDirectory, data: ImageData, device: DeviceProfile
) -> None:
    """Write study.yaml, once nothing prevents the first trial; for an extended study, with the
    history of its extensions.
    """
    if not home.study_file.exists():
        write_data(home.artifacts, data)
        weights = {"files": file_digests(config)}
        about = {"data": describe(data), "weights": weights, "device": device.to_json()}
        home.write_about(plain_config(config), **about)
        return
    study = Study(home)
    if config != study.config:
        extensions = study.about.get("extended", [])
        kept = {k: v for k, v in study.about.items() if k not in ("config", "extended")}
        history = [*extensions, extension_entry(study.config, config, so_far(home)[0])]
        if "files" in (weights := kept.get("weights", {})):
            files = {**file_digests(config), **weights["files"]}
            kept["weights"] = {**weights, "files": files}
        home.write_about(plain_config(config), **kept, extended=history)


def note_networks(search: Search) -> None:
    """Also write to study.yaml the digests of the pretrained networks that the trials used."""
    home, found = search.home, network_digests(search.record().trials)
    about = home.read_about()
    digests = {" ".join(name): digest for name, digest in found.items()}
    known = about.get("weights", {})
    if digests and digests != known.get("networks"):
        kept = {k: v for k, v in about.items() if k not in ("config", "weights")}
        home.write_about(about["config"], **kept, weights={**known, "networks": digests})


def run_and_confirm(search: Search, begin: Callable[[], None], prepare: Callable[[], None]) -> bool:
    """Run the trials, then confirm the winner in the same workers unless they were cut short.

    Returns whether the confirmation was completed. `begin` is called at one or more trial ends
    shortly before the last, to start work that can be done meanwhile. `prepare` is called after the
    trials and after each stage of the confirmation, because the likely winner may have changed.
    """
    from tlsearch.search.cost.forecast import report_forecast
    from tlsearch.search.runner import run_trials
    from tlsearch.search.winner.confirm import confirmation_stages

    config, goes_on = search.config, end_if_perfect(search)
    with contextlib.ExitStack() as trials:
        trials.enter_context(report_forecast(search))
        counter = trials.enter_context(phase(TRIALS, config.trials, "trials"))
        counter.reach(search.ended)

        def follow(room: int) -> Generator["Stage", None, None]:
            trials.close()
            search.budget.end_trials()
            prepare()
            if config.confirm:
                for stage in confirmation_stages(search, room):
                    yield stage
                    prepare()

        announce = TrialEndHandler(
            search, counter, goes_on, begin, search.budget.spent_s, search.ended
        )
        confirmed = run_trials(search, announce, follow)
    search.budget.end_trials()
    return confirmed


def _prepare_export(search: Search, exporter: "ExportWorker") -> None:
    """Prepare to export the trial that wins as far as is known."""
    record = search.record()
    won = winner(record)
    if won is not None:
        trial = TrialConfig(**record.trials[won.trial].config)
        exporter.prepare(trial, len(search.data.classes))


def end_if_perfect(search: Search) -> bool:
    """End a search that has a perfect trial, unless more trials were requested after it; return
    whether they were.
    """
    record, about = search.record(), search.home.read_about()
    found = perfect_trial(record, about)
    if found is not None:
        search.ending.end_as_perfect(perfect_message(found, search.config.metric))
    return continued_after_perfect(record, about)


def _finish(search: Search, exporter: "ExportWorker", confirmed: bool) -> None:
    """Confirm the winner, if that is not done yet, and export it. If that fails, the trials are
    still reported.
    """
    from tlsearch.search.cluster.nodes import Watch
    from tlsearch.search.trial.connected_workplace import connected_workplace
    from tlsearch.search.winner.confirm import confirm
    from tlsearch.search.winner.finish import finish

    config, ending = search.config, search.ending
    try:
        if config.confirm and not confirmed:
            room = Watch(config.resources).slots()  # now, not when the search began
            confirm(search, connected_workplace(search), room)
        if not ending.cut_short:
            search.budget.begin_export()
            search.listen(Exporting())
            finish(search, exporter)
    except TlsearchError as error:
        ending.fail(error)
