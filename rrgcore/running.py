"""How a recipe is run: in which folder, begun or gone on with, and what is left where it fails."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

from accelerate import Accelerator

from rrgcore.card import write_card
from rrgcore.disk import refusal
from rrgcore.errors import RunError, UserError
from rrgcore.faults.stops import last_saved
from rrgcore.faults.telling import preparing
from rrgcore.folder import RECIPE, RUN, RunFolder, State, check_writable, new_folders
from rrgcore.interrupts import ECHO, Interrupts
from rrgcore.job import Job, in_a_line, make_accelerator
from rrgcore.manifest import check_all_belong
from rrgcore.plan import Plan
from rrgcore.plugins import Discovered
from rrgcore.processes import on_main
from rrgcore.resolve import resolved
from rrgcore.resume import changed_versions, check_same_data
from rrgcore.same_recipe import is_run_of, recipe_changes, unfinished
from rrgcore.tracker_names import check_trackers
from rrgcore.trackers import Tracked
from rrgcore.watch import Watcher


@final
class Runner:
    """Runs a recipe: finds the folder, begins there or goes on, and fills it.

    Raises UserError for trackers that are not installed.
    """

    def __init__(
        self, plan: Plan, plugins: Discovered, watcher: Watcher, track: Sequence[str] = ()
    ) -> None:
        self.plan = plan
        self.plugins = plugins
        self.watcher = watcher
        self.track = check_trackers(track)

    def run(self, out: str | Path | None, root: Path, *, new: bool = False) -> RunFolder:
        """Train and test in `out`, or in a folder below `root`; return it, finished."""
        watcher = self.watcher
        accelerator = make_accelerator(self.plan)
        with ExitStack() as holding:
            path, state = on_main(accelerator, lambda: self._take(holding, out, root, new))
            folder = RunFolder(path, writes=accelerator.is_main_process)
            if state == "finished":
                watcher.note(
                    f"{path} is finished already: nothing was done. See `rrg evaluate {path}`"
                )
            else:
                self._fill(folder, accelerator, exists=state is not None)
                accelerator.wait_for_everyone()
        return folder

    def _fill(self, folder: RunFolder, accelerator: Accelerator, *, exists: bool) -> None:
        """Begin a run in a folder that is held, or go on with the one that `exists` there."""
        plan, path, watcher = self.plan, folder.path, self.watcher
        saved = folder.saved_tokenizers() if exists else {}
        tracked = Tracked(watcher, folder, accelerator, self.track)
        with preparing(plan, "building the model"):
            job = Job(
                plan,
                tracked,
                accelerator,
                saved,
                resumes=exists and folder.trained,
                kept=folder.given,
            )
        facts = {**job.facts(), **self._plugin_facts()}
        if exists:
            check_same_data(folder, facts)
            if changed := changed_versions(folder, facts):
                watcher.note(changed)
        alone = accelerator.num_processes == 1
        with Interrupts(echo=0.0 if alone else ECHO) as interrupts:
            try:
                if exists:
                    watcher.note(f"going on with {path}")
                    if now := recipe_changes(path, resolved(plan), self.plugins.registry):
                        watcher.note(f"what changes no result is otherwise now: {now}")
                    folder.update(state="running")
                elif folder.writes:
                    RunFolder.create(path, plan.recipe, resolved(plan), facts)
                if folder.writes and not folder.saved_tokenizers():
                    # a run that was killed at the very beginning may have saved none either
                    job.save_tokenizers(folder)
                title = "-".join((plan.recipe.name, *plan.recipe.variants))
                with interrupts.let_through(when=alone):
                    tracked.begin(f"{title}/{path.name}", resolved(plan))
                accelerator.wait_for_everyone()
                watcher.note(in_a_line(facts))
                with preparing(plan, "before training, or between two steps"):
                    with interrupts.let_through(when=alone):
                        job.learn(folder)
                    job.run(folder, interrupts)
                tracked.end()
                if folder.writes:
                    write_card(folder, plan)
                folder.update(state="finished")
            except BaseException as error:
                tracked.close(failed=True)
                refused = refusal(error)
                folder.stopped()
                if isinstance(error, KeyboardInterrupt):
                    lost = " at once, unsaved since the last checkpoint" * interrupts.forced
                    by = "" if alone else ", under the same launcher"
                    watcher.note(f"stopped{lost}; to go on{by}: {self._to_go_on(path)}")
                    error.told = True  # type: ignore[attr-defined]  # by `rrg` itself, else
                elif refused is not None and (path / RUN).is_file():
                    raise refused.told(
                        last_saved(folder, plan.stages), f"go on: {self._to_go_on(path)}"
                    ) from error
                elif isinstance(error, UserError) and not exists:
                    folder.remove_unless_trained()
                    if folder.known:
                        watcher.note(
                            f"what annotators learned and answered is kept in {folder.artefacts}: "
                            "the same command goes on with it"
                        )
                raise

    def _to_go_on(self, path: Path) -> str:
        """Return the command that goes on with a run."""
        words = ["rrg", "run", str(path / RECIPE), "--out", str(path)]
        words += [word for name in self.track for word in ("--track", name)]
        for plugin in self.plugins.plugins:
            if plugin.blocked:
                words += ["--no-plugin", plugin.name]
            elif plugin.version == "file":
                words += ["--plugin", plugin.origin]
        return shlex.join(words)

    def _plugin_facts(self) -> dict[str, Any]:
        """Return what run.json says of the plugins that were there: name to where from."""
        there = [plugin for plugin in self.plugins.plugins if not plugin.blocked]
        return {"plugins": {plugin.name: f"{plugin.origin} {plugin.version}" for plugin in there}}

    def _take(
        self, holding: ExitStack, out: str | Path | None, root: Path, new: bool
    ) -> tuple[Path, State | None]:
        """Hold the folder to run in, tidied up and checked; return it, and the state of the run in
        it, if one is. A finished run is not held.
        """
        if out is not None:
            path = Path(out)
            if (state := self._state_in(path, new=new)) == "finished":
                return path, state
            holding.enter_context(RunFolder(path).held())
            return path, self._settled(path, new=new)
        recipe, note = self.plan.recipe, self.watcher.note
        values, registry = resolved(self.plan), self.plugins.registry
        while not new and (found := unfinished(root, recipe, values, registry, note)):
            if _is_got(found, holding):
                return found, self._settled(found)
        path = next(path for path in new_folders(root, recipe) if _is_got(path, holding))
        return path, self._settled(path, new=True)

    def _settled(self, path: Path, *, new: bool = False) -> State | None:
        """Look what is in a folder that is held: until then another process may have begun a run
        there, or ended one. What killed writes left is cleared away, and the rest held against the
        checkpoints.
        """
        if (state := self._state_in(path, new=new)) != "finished":
            folder = RunFolder(path)
            folder.tidy()
            check_all_belong(folder)
        return state

    def _state_in(self, path: Path, *, new: bool) -> State | None:
        """Return the state of the run in a folder, None where none is; raises RunError where this
        recipe cannot be run in it.
        """
        values, registry = resolved(self.plan), self.plugins.registry
        check_writable(path)
        if not path.exists() or RunFolder(path).is_beginning_of(values):
            return None
        folder = RunFolder.open(path)
        if new:
            raise RunError(f"--new, but {path} holds a run already; name another folder with --out")
        if not is_run_of(folder, values, registry):
            raise RunError(
                f"{path} holds a run of another recipe ({folder.record['recipe']}), as its "
                f"{RECIPE} says: {recipe_changes(path, values, registry)}. Name another folder "
                "with --out"
            )
        return folder.state


def _is_got(path: Path, holding: ExitStack) -> bool:
    """Hold a folder that nobody asked for by name, unless another process was faster."""
    check_writable(path)
    folder = RunFolder(path)
    try:
        holding.enter_context(folder.held())
    except RunError:
        if not folder.in_use:
            raise
        return False
    return True
