"""One run from its config to its last line: rows -> load -> add_lora -> (reference) -> loop, resumable at every moment."""

import json
import os
import shlex
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from tqdm import tqdm

from kernels.dispatch import uses_triton
from vgpt2 import atomic, checkpoint, loop, lora, manifest, neftune, optim, preflight, probe, reference, runrecord, tokencache, weights
from vgpt2.adapter_files import load_adapter, read_starts, save_adapter
from vgpt2.config import LoRAConfig, TrainConfig
from vgpt2.dataset import Dropped, read, split, split_turns
from vgpt2.encoding import encode_into
from vgpt2.flops import useful_flops
from vgpt2.interrupts import Interrupted, Interrupts, exit_code
from vgpt2.loading import device_and_dtype
from vgpt2.loop import Job, Stage, State, plan_run
from vgpt2.memory import Plan, chosen, column, fullest_of, host_room, require_on_host, room_on, setup_of, table
from vgpt2.metrics import RunLog, peak_memory_bytes
from vgpt2.model import CausalLM
from vgpt2.offload import HostMemory
from vgpt2.packing import label_count, shared_prompts
from vgpt2.pissa import Start
from vgpt2.preview import render
from vgpt2.profiling import Profile
from vgpt2.runlock import RunLock, RunLockError
from vgpt2.stages import STAGES
from vgpt2.step_bytes import GIB
from vgpt2.tokencache import Rows, Sink
from vgpt2.tokenizer import ChatTokenizer

STATE_FILE, OPTIMIZER_FILE = "trainer_state.json", "optimizer.safetensors"
# torch's and oneDNN's own: each keeps 1024 bf16 matmuls by their shapes with their memory, and hardly two steps have one length
PRIMITIVE_CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


def run(
    cfg: TrainConfig, *, resume: bool, steal_lock: bool, ignore_interrupts: bool, cap_gib: float | None = None, profile: int | None = None
) -> int:
    """Exit code of the training command; once a step is done, the run folder holds a resumable state whatever happens.

    cap_gib: GPU memory for tensors, where not all that is free is to be used. profile: steps to trace, see profiling.py.
    """
    folder = preflight.run_folder(cfg)
    began = time.monotonic()
    with Interrupts(ignore=ignore_interrupts, say=complain) as interrupts, RunLock(folder, steal=steal_lock, say=complain) as lock:
        checkpoint.sweep(folder)
        try:
            with interrupts.at_once():
                assembled = assemble(cfg, folder, resume=resume, interrupts=interrupts, lock=lock, cap_gib=cap_gib)
            if assembled is None:
                print(f"nothing is left to do: {runrecord.read_summary(folder)['line']}")
                return 0
            job, state, rows = assembled
            if job.stage.needs_reference:
                attach_reference(job, state)
            if profile:
                job.profile = Profile(folder, steps=profile, parts=loop.PARTS, device=job.device, say=job.log.say)
            loop.fit(job, state)
        except Interrupted as stop:
            complain(f"interrupted; {what_is_left(folder)}")
            return exit_code(stop.number)
        except (checkpoint.SaveFailed, loop.NonFinite) as failure:
            raise ValueError(f"{failure}\n{what_is_left(folder)}") from failure
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            peak = (peak_memory_bytes(choose_device(cfg)[0]) or 0) / 2**30
            at = f"peak {peak:.1f} GiB with batch.micro_batch_tokens {cfg.batch.micro_batch_tokens}"
            cure = "halve that (it changes no result)"
            raise ValueError(f"out of memory, {at}; {cure}\n{what_is_left(folder)}") from error
        finish(job, state, rows, seconds=time.monotonic() - began)
    return 0


def assemble(
    cfg: TrainConfig, folder: Path, *, resume: bool, interrupts: Interrupts, lock: RunLock, cap_gib: float | None
) -> tuple[Job, State, Rows] | None:
    """Everything a run needs, in the order in which it can be refused; run.json is written last, before step 1.

    None for a run to resume that has finished.
    """
    device, dtype = choose_device(cfg)
    stage: Stage = STAGES[cfg.stage](cfg)
    asked = probe.load(cfg.probe)
    evaluated = [f"eval/{name}" for name in stage.metrics if cfg.data.validation] + list(asked.metrics if asked else ())
    if evaluated:
        loop.refuse_unknown_metric(cfg.checkpoint.best_metric, evaluated)
    tokenizer = ChatTokenizer.load(cfg.model.path, system=cfg.data.system)
    rows = read_rows(cfg, stage, tokenizer)
    steps = plan_run(stage, [example.tokens for example in rows.train], cfg)
    report_rows(stage, rows, steps)
    plan = plan_memory(cfg, rows, steps, device, dtype, cap_gib)

    record = runrecord.describe(cfg, rows=rows.counts, tokenizer=tokenizer.fingerprint, device=device)
    if resume:
        compare_with_start(folder, record)
        record["id"] = runrecord.read(folder)["id"]
    # LoRA trains fp32 adapters on a base in the compute precision; a full fine-tune keeps fp32 weights and computes under autocast, or
    # holds them in the compute precision and rounds stochastically where they step in the backward pass
    number_type = dtype if cfg.lora or cfg.optim.in_backward else torch.float32
    model = weights.load_model(cfg.model.path, dtype=number_type, device=device, quantization=cfg.model.quantization)
    weights.check_finite(model)
    model.recompute_layers = plan.recomputed
    model.offload = HostMemory(device) if cfg.model.offload_checkpoints else None
    if cfg.lora:
        lora.add_lora(model, cfg.lora, seed=cfg.seed, starts=known_starts(model, cfg.lora, cfg.init_adapter, folder))
    if cfg.stage == "sft" and cfg.sft.neftune_alpha:
        neftune.add_noise(model, cfg.sft.neftune_alpha)
    if cfg.init_adapter:
        load_adapter(model, checkpoint.resolve(cfg.init_adapter))
    optimizer = optim.build(model, cfg.optim, seed=cfg.seed, loraplus_ratio=cfg.lora.loraplus_ratio if cfg.lora else 1.0)

    record["start"] = reference.weights_fingerprint(model)
    if resume and runrecord.read(folder)["start"] != record["start"]:
        raise ValueError(
            f"{folder}: the starting weights are others than when this run began; restore {cfg.init_adapter or cfg.model.path}"
        )
    state, source = restore(model, optimizer, folder, cfg, run_id=record["id"]) if resume else (State(), None)
    if resume and loop.is_finished(cfg, len(steps), state) and (folder / runrecord.SUMMARY).exists():
        return None
    checkpoint.require_space(folder, copies=cfg.checkpoint.keep + 3, bytes_each=checkpoint_bytes(optimizer, cfg.lora))
    if source:
        print(f"going on after step {state.step:,} from {source}")
    if resume:
        runrecord.note_resumption(folder, step=state.step)
    else:
        values = yaml.safe_dump(cfg.model_dump(mode="json"), sort_keys=False)
        atomic.write_text(folder / "config.yaml", f"{preflight.CONFIG_HEAD}\n{values}")
        runrecord.write(folder, record)
    log = RunLog(
        folder,
        total_steps=len(steps),
        rows=state.log_rows,
        step=state.step,
        tokens=state.tokens,
        device=device,
        flops_per_token=flops_per_token(model, rows, has_adapters=cfg.lora is not None),
    )

    def write(path: Path, state: State) -> None:
        if not lock.is_held():
            raise RunLockError(f"{lock.path}: another process has taken the run over; this one ends without saving")
        write_checkpoint(path, state, model, optimizer, cfg)

    job = Job(
        cfg=cfg,
        stage=stage,
        model=model,
        optimizer=optimizer,
        examples=rows.train,
        eval_examples=rows.held_out,
        steps=steps,
        run_dir=folder,
        run_id=record["id"],
        device=device,
        autocast_dtype=dtype if dtype != torch.float32 else None,
        write=write,
        log=log,
        interrupts=interrupts,
        probe=partial(probe.probe, model, tokenizer, asked, max_new_tokens=cfg.probe.max_new_tokens, check=interrupts.check)
        if asked
        else None,
        resumed_from=source,
        saved_step=state.step,
        saved_best=(state.best_value, state.best_step),
    )
    return job, state, rows


def choose_device(cfg: TrainConfig) -> tuple[torch.device, torch.dtype]:
    """The device and the precision of the matmuls; sets CUDA's deterministic mode where asked. Raises ValueError for what it cannot do."""
    device, dtype = device_and_dtype(cfg.device, cfg.model.dtype)
    if cfg.optim.paged and (device.type != "cuda" or sys.platform == "win32"):
        raise ValueError(f"optim.paged is true; only CUDA on Linux pages moments, this is {device.type} on {sys.platform}, so set it false")
    if device.type == "cpu":
        for cache in PRIMITIVE_CACHES:
            os.environ.setdefault(cache, "64")  # read at the first matmul; the kinds of a step are fewer
    if cfg.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    uses_triton(torch.empty(0, dtype=dtype, device=device))  # a wrong VGPT2_KERNELS is refused before a weight is read
    return device, dtype


def read_rows(cfg: TrainConfig, stage: Stage, tokenizer: ChatTokenizer) -> Rows:
    """The rows of `data.train`, encoded or from the token cache, and those held out; raises ValueError when none is left to train on."""
    rows = tokencache.rows(
        cfg.data,
        partial(tokencache.key_of, cfg, tokenizer.fingerprint),
        store=stage.store,
        restore=stage.restore,
        build=partial(encode_rows, cfg, stage, tokenizer),
        say=complain,
    )
    train, held_out = stage.complete(rows.train, rows.held_out, seed=cfg.seed)
    return replace(rows, train=train, held_out=held_out)


def encode_rows(cfg: TrainConfig, stage: Stage, tokenizer: ChatTokenizer, train: Sink, held_out: Sink) -> tuple[int, Dropped]:
    """Fills `train` and `held_out` from the data files; how many rows were read, and what was dropped."""
    data, registry, seed = cfg.data, Path(cfg.data.registry), cfg.seed
    records, dropped = read(
        data.train, kind=cfg.stage, registry=registry, weights=data.weights, caps=data.caps, max_rows=data.max_rows, seed=seed
    )
    if isinstance(data.validation, str):
        held_records, held_dropped = read([data.validation], kind=cfg.stage, registry=registry, seed=seed)
        dropped = dropped + held_dropped
    else:
        records, held_records = split(records, data.validation, seed=seed)
    if cfg.stage == "sft" and tokenizer.rewrites_turns:
        records, held_records = split_turns(records), split_turns(held_records)
    workers = None if cfg.data.workers == "auto" else cfg.data.workers
    for part, sink in ((records, train), (held_records, held_out)):
        lost = encode_into(sink.append, part, stage.encode, tokenizer=tokenizer, workers=workers, progress=progress_bar)
        if part is records and lost.total == len(records):
            raise ValueError(f"{data.train[0]}: none of {len(records)} rows can be trained on\n{dropped + lost}")
        dropped = dropped + lost
    return len(records) + len(held_records), dropped


def report_rows(stage: Stage, rows: Rows, steps: list[list[list[int]]]) -> None:
    """The size of the run and the dropped rows, also when there are none."""
    tokens = sum(example.tokens for example in rows.train)
    units = sum(example.units for example in rows.train)
    trained = f"{len(rows.train):,} rows, {tokens:,} tokens, {units:,} {stage.unit}s to train on"
    print(f"{trained}; {len(rows.held_out):,} rows held out; {len(steps):,} steps")
    if rows.cache:
        print(f"tokens are mapped from {rows.cache}")
    markers = sum(1 for example in rows.train if example.markers)
    if markers:
        print(f"{markers:,} rows hold control strings in their text; they are encoded as text")
    print(rows.dropped)
    for line in stage.notes():
        print(line)


def plan_memory(
    cfg: TrainConfig, rows: Rows, steps: list[list[list[int]]], device: torch.device, dtype: torch.dtype, cap_gib: float | None
) -> Plan:
    """How many layers are recomputed; refuses what cannot fit before a weight is read. A cap also binds the card's allocator."""
    setup = setup_of(weights.read_config(cfg.model.path), cfg, compute=dtype.itemsize, on_cuda=device.type == "cuda")
    room = room_on(device, cap_gib)
    batch = fullest_of(rows.train, steps, budget=cfg.batch.micro_batch_tokens)
    plan = chosen(cfg, setup, batch, room)
    require_on_host(plan, host_room())
    if cap_gib is not None and device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap_gib * GIB / torch.cuda.mem_get_info(device)[1]), device)
    if room is not None:
        print(table({cfg.stage: column(cfg, setup, batch, plan, room)}))
    return plan


def known_starts(model: CausalLM, cfg: LoRAConfig, init_adapter: str | None, folder: Path) -> dict[str, Start] | None:
    """Where PiSSA's adapters began, from the newest checkpoint of `folder` or from init_adapter; None where nothing is known yet.

    Singular values have other last bits on another machine, and a run goes on from its own.
    """
    if cfg.init != "pissa":
        return None
    source, _ = checkpoint.newest_good(folder)
    if source is None and init_adapter:
        source = checkpoint.resolve(init_adapter)
    return read_starts(model, source, cfg) if source else None


def flops_per_token(model: CausalLM, rows: Rows, *, has_adapters: bool) -> float:
    """Mean useful operations a training token; KTO's passes without a gradient are not counted."""
    examples = [list(zip(*example.sequences)) for example in rows.train]  # (ids of each sequence, mask of each)
    masks = [mask for _, masks in examples for mask in masks]
    lengths, scored = [len(mask) for mask in masks], sum(map(label_count, masks))
    shared = [prompt for ids, masks in examples for prompt in shared_prompts(ids, masks)]
    trained = sum(parameter.numel() for parameter in lora.lora_parameters(model).values()) if has_adapters else None
    trains_head = model.lm_head.weight.requires_grad
    flops = useful_flops(model.cfg, lengths=lengths, shared=shared, scored=scored, trained=trained, trains_head=trains_head)
    return flops / (sum(lengths) - sum(shared))


def compare_with_start(folder: Path, record: dict[str, Any]) -> None:
    """Refuses to go on under other mathematics, with what differs; says what may change the last bits."""
    forbids, warns = runrecord.differences(runrecord.read(folder), record)
    if forbids:
        first = f"{folder}: this run was started with other settings (then -> now); restore them, or start anew with --run NAME"
        raise ValueError("\n    ".join([first, *forbids]))
    for line in warns:
        complain(f"warning: {line} since the start: the run goes on, its last bits may differ")


def write_checkpoint(folder: Path, state: State, model: CausalLM, optimizer: torch.optim.Optimizer, cfg: TrainConfig) -> None:
    """The files of one step folder: an adapter that PEFT reads or a whole model folder, the moments, and the loop's state."""
    if cfg.lora:
        save_adapter(model, folder, cfg.model.path)
    else:
        weights.save_model(model, folder, tokenizer_from=Path(cfg.model.path))
    moments = {name: tensor.cpu().contiguous() for name, tensor in optim.state_to_tensors(optimizer).items()}
    (folder / OPTIMIZER_FILE).write_bytes(to_bytes(moments))
    (folder / STATE_FILE).write_text(json.dumps(asdict(state), indent=1) + "\n", "utf-8")


def checkpoint_bytes(optimizer: torch.optim.Optimizer, lora: LoRAConfig | None) -> int:
    """What `write_checkpoint` writes: weights and moments; PiSSA's start lies beside A and B, an embedding that is also the head twice."""
    weights_bytes = sum(parameter.nbytes for group in optimizer.param_groups for parameter in group["params"])
    is_larger = lora is not None and bool(lora.init == "pissa" or lora.modules_to_save)
    return (2 if is_larger else 1) * weights_bytes + optim.state_bytes(optimizer)


def restore(model: CausalLM, optimizer: torch.optim.Optimizer, folder: Path, cfg: TrainConfig, *, run_id: str) -> tuple[State, Path | None]:
    """Weights, moments and state of the newest whole checkpoint, and its folder; a fresh state where no step was saved yet.

    Raises ValueError for a step folder that was copied from another run.
    """
    source, refusals = checkpoint.newest_good(folder)
    for line in refusals:
        complain(f"warning: {line}")
    if source is None:
        return State(), None
    if manifest.meta_of(source).get("run") != run_id:
        raise ValueError(f"{source}: was saved by another run than the one that {folder} began; remove it to go on from the step before")
    if cfg.lora:
        load_adapter(model, source)
    else:
        saved = weights.load_model(source, dtype=model.lm_head.weight.dtype, device="cpu")
        model.load_state_dict(saved.state_dict())
    optim.tensors_to_state(optimizer, from_bytes((source / OPTIMIZER_FILE).read_bytes()))
    state = loop.state_from_json(json.loads((source / STATE_FILE).read_text("utf-8")))
    return state, source


def attach_reference(job: Job, state: State) -> None:
    """Gives every row its reference values, and proves at step 0 that they are the starting policy's."""
    cfg, record = job.cfg, runrecord.read(job.run_dir)
    rows = [*job.examples, *job.eval_examples]
    origin = cfg.init_adapter or ("base model, no adapter: DPO and KTO usually follow SFT" if cfg.lora else cfg.model.path)
    print(f"reference: the starting policy, {origin}; computed once, {sum(len(row.answers) for row in rows):,} answers")
    base = record["fingerprints"]["model"]
    with progress_bar("reference", sum(len(row.answers) for row in rows)) as bar:
        rows = reference.attach(
            job.model,
            rows,
            job.run_dir,
            key=reference.fingerprint(f"{base} {record['start']}", rows, job.autocast_dtype or torch.float32),
            budget=cfg.batch.micro_batch_tokens,
            autocast=job.autocast,
            check=job.interrupts.check,
            progress=bar.update,
            may_compute=state.step == 0,
        )
    job.examples, job.eval_examples = rows[: len(job.examples)], rows[len(job.examples) :]
    if state.step == 0:
        first = [job.examples[i] for i in job.steps[0][0]]
        difference = reference.largest_difference(job.model, first, job.autocast)
        allowed = reference.TOLERANCE[job.autocast_dtype or torch.float32]
        print(f"first batch: |policy - reference| is at most {difference:.1e} a token (allowed {allowed:.0e})")
        if not difference <= allowed:
            place = job.run_dir / reference.FILE
            raise ValueError(f"{place}: policy and reference differ by {difference:.1e} a token before step 1; start anew with --run NAME")


def what_is_left(folder: Path) -> str:
    """One line about a run that ended too soon: what is saved and the command that goes on."""
    if not (folder / runrecord.RECORD).exists():
        return "no step was saved; the same command starts again"
    latest = checkpoint.pointed(folder, "latest")
    return f"{f'saved {latest}' if latest else 'no step was saved'}; go on with: {resume_command(folder)}"


def resume_command(folder: Path) -> str:
    output = [] if folder.parent == Path("checkpoints") else ["--set", f"output={folder.parent.as_posix()}"]
    return shlex.join(["python", "-m", "vgpt2.train", "--run", folder.name, *output, "--resume"])


def finish(job: Job, state: State, rows: Rows, *, seconds: float) -> None:
    """The run's last lines, its plot and summary.json; honesty lines are there also when they are 0."""
    job.log.plot(f"{job.stage.name}: {job.run_dir.name}")
    job.log.write_state(asdict(state))
    job.log.close()
    peak = peak_memory_bytes(job.device) or 0
    early = loop.stops_early(job.cfg, state)
    interruptions = len(runrecord.read(job.run_dir)["resumed"])
    line = (
        f"{state.step} of {len(job.steps)} steps, {state.tokens:,} tokens in {seconds:.0f} s and {time.process_time():.0f} CPU-seconds, "
        f"peak {peak / 2**30:.1f} GiB; dropped {rows.dropped.total} of {rows.read} rows; {state.skipped} steps skipped; "
        f"{interruptions} interruptions, {job.interrupts.ignored} ignored; {job.log.warnings} warnings"
    )
    summary = {"line": line, "steps": state.step, "planned_steps": len(job.steps), "tokens": state.tokens, "seconds": round(seconds, 1)}
    summary |= {"cpu_seconds": round(time.process_time(), 1), "peak_bytes": peak, "dropped": rows.dropped.total, "rows": rows.read}
    summary |= {"skipped": state.skipped, "interruptions": interruptions, "stopped_early": early, "best_step": state.best_step}
    try:
        runrecord.write_summary(job.run_dir, summary)
    except OSError as error:
        complain(f"warning: {job.run_dir / runrecord.SUMMARY}: not written ({error.strerror}); --resume writes it when there is room")
    print(f"done: {line}" + (f"; stopped early, {early}" if early else ""))
    best = (
        f"step {state.best_step}, {job.cfg.checkpoint.best_metric} {state.best_value:.4f}"
        if state.best_value is not None
        else "the last step"
    )
    print(f"best        {job.run_dir / 'best'} ({best})")
    print(f"curves      {job.run_dir / 'training_loss.png'}, or: tensorboard --logdir {job.run_dir}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU or this machine had no memory left; the CPU's allocator has no error class of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def preview(cfg: TrainConfig, *, rows: int) -> int:
    """Prints the first rows as the stage encodes them; loads no model."""
    tokenizer = ChatTokenizer.load(cfg.model.path, system=cfg.data.system)
    data, registry = cfg.data, Path(cfg.data.registry)
    records, dropped = read(data.train, kind=cfg.stage, registry=registry, weights=data.weights, caps=data.caps, max_rows=rows)
    stage: Stage = STAGES[cfg.stage](cfg)
    for record in records:
        print(render(stage.encode(record, tokenizer), tokenizer, colour=sys.stdout.isatty()))
    print(dropped)
    return 0


def progress_bar(what: str, total: int) -> "tqdm[Any]":
    """A bar on a terminal, nothing in a piped log."""
    return tqdm(total=total, desc=what, unit="row", dynamic_ncols=True, leave=False, disable=not sys.stderr.isatty())


def complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
