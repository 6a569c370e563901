"""vLLM's own block manager, taken from its wheel: real code, without torch and without a GPU.

`prepare()` puts the Python files of the wheel into a scratch folder outside the tree, by pip and
without the wheel's dependencies, and runs the calling script again with a Python that has the two
small packages which the block manager does need. `load()` imports the block manager from there. What
it imports but never calls (torch, ZeroMQ, the configuration of models) is replaced by names that do
nothing; the modules that decide anything are the wheel's, unchanged, and are listed in `REAL`.
"""
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import zipfile

VERSION = "0.33.0"
PACKAGES = ["msgspec", "cbor2"]
SCRATCH = pathlib.Path(os.environ.get("QUIRE_BENCH_CACHE", "~/.cache/quire-bench")).expanduser()
HOME = SCRATCH / f"vllm-{VERSION}"
VENV = SCRATCH / "venv"

REAL = [
    "vllm.envs", "vllm.distributed.kv_events", "vllm.utils.hashing", "vllm.utils.math_utils",
    "vllm.v1.core.block_pool", "vllm.v1.core.kv_cache_coordinator", "vllm.v1.core.kv_cache_manager",
    "vllm.v1.core.kv_cache_metrics", "vllm.v1.core.kv_cache_utils",
    "vllm.v1.core.single_type_kv_cache_manager", "vllm.v1.hisparse.block_pool",
    "vllm.v1.kv_cache_interface", "vllm.v1.kv_cache_layout", "vllm.v1.kv_cache_spec_registry",
    "vllm.v1.metrics.stats", "vllm.v1.request", "vllm.v1.utils",
]
# Never called by the block manager.
ABSENT = ["PIL", "torch", "uvloop", "zmq"]


class Unavailable(Exception):
    """Why vLLM cannot be had, in one line."""


# --- Fetching -------------------------------------------------------------------------------------

def prepare():
    """Returns with the wheel's files and its small packages at hand, in the Python that has them."""
    python = VENV / "bin" / "python"
    if not python.exists():
        run([sys.executable, "-m", "venv", VENV], "make a virtual environment")
    if pathlib.Path(sys.prefix).resolve() != VENV.resolve():
        os.execv(python, [str(python), *sys.argv])
    if any(importlib.util.find_spec(package) is None for package in PACKAGES):
        run([python, "-m", "pip", "install", "-q", *PACKAGES], f"install {' and '.join(PACKAGES)}")
        importlib.invalidate_caches()
    if not (HOME / "vllm").exists():
        fetch(python)


def fetch(python):
    print(f"fetching the wheel of vLLM {VERSION}, once, into {SCRATCH}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as work:
        run([python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", work,
             f"vllm=={VERSION}"], "download the wheel")
        wheel = next(pathlib.Path(work).glob("vllm-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            # The compiled kernels are nine tenths of it.
            files = [name for name in archive.namelist()
                     if name.startswith("vllm/") and name.endswith(".py")]
            archive.extractall(pathlib.Path(work) / "files", files)
        # In one step: a fetch that was cut off leaves nothing that looks complete.
        HOME.parent.mkdir(parents=True, exist_ok=True)
        (pathlib.Path(work) / "files").rename(HOME)


def run(command, what):
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([str(part) for part in command], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"could not {what}: {last[0]}")


# --- Importing ------------------------------------------------------------------------------------

class Anything(type):
    """Of a name that exists and does nothing: a base class, an annotation, a decorator's argument."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __getitem__(cls, _):
        return cls


class Silent:
    """A logger that says nothing, a platform that has nothing of its own."""

    def __getattr__(self, _):
        return lambda *_, **__: None


class StructuredOutputRequest:
    @staticmethod
    def from_sampling_params(_):
        return None


# What the block manager does call of modules that would import the world.
CALLED = {
    "vllm.logger.init_logger": lambda _: Silent(),
    "vllm.platforms.current_platform": Silent(),
    "vllm.utils.length_from_prompt_token_ids_or_embeds": lambda tokens, _: len(tokens),
    "vllm.v1.structured_output.request.StructuredOutputRequest": StructuredOutputRequest,
}


class Hollow(types.ModuleType):
    """A module of names that do nothing."""

    __path__: list[str] = []

    def __getattr__(self, name):
        full = f"{self.__name__}.{name}"
        # A real module is to be imported instead.
        if name.startswith("__") or full in REAL:
            raise AttributeError(name)
        value = CALLED.get(full) or Anything(name, (), {})
        setattr(self, name, value)
        return value


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ("vllm", *ABSENT):
            return None
        if name in REAL:
            file = HOME.joinpath(*name.split(".")).with_suffix(".py")
            return importlib.util.spec_from_file_location(name, file)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return Hollow(spec.name)

    def exec_module(self, module):
        pass


def load():
    """vLLM's own classes and functions, by name."""
    sys.meta_path.insert(0, Finder())
    from vllm.utils import hashing
    from vllm.v1 import kv_cache_interface, request
    from vllm.v1.core import block_pool, kv_cache_manager, kv_cache_utils
    for name in REAL:
        module = sys.modules.get(name)
        if module is not None and isinstance(module, Hollow):
            raise Unavailable(f"{name} is not the wheel's")
    return types.SimpleNamespace(
        BlockPool=block_pool.BlockPool, FullAttentionSpec=kv_cache_interface.FullAttentionSpec,
        KVCacheConfig=kv_cache_interface.KVCacheConfig,
        KVCacheGroupSpec=kv_cache_interface.KVCacheGroupSpec,
        KVCacheManager=kv_cache_manager.KVCacheManager,
        Request=request.Request, RequestStatus=request.RequestStatus,
        SlidingWindowSpec=kv_cache_interface.SlidingWindowSpec,
        get_request_block_hasher=kv_cache_utils.get_request_block_hasher,
        init_none_hash=kv_cache_utils.init_none_hash, sha256_cbor=hashing.sha256_cbor)


def new_manager(vllm, blocks, block_size, *, window=0, max_model_len, **options):
    """A manager of one group; `blocks` usable ones and the null block."""
    shape = {"block_size": block_size, "num_kv_heads": 1, "head_size": 1, "dtype": None}
    spec = (vllm.SlidingWindowSpec(**shape, sliding_window=window) if window
            else vllm.FullAttentionSpec(**shape))
    config = vllm.KVCacheConfig(
        num_blocks=blocks + 1, kv_cache_tensors=[],
        kv_cache_groups=[vllm.KVCacheGroupSpec(["layer"], spec)])
    return vllm.KVCacheManager(
        config, max_model_len=max_model_len, scheduler_block_size=block_size,
        hash_block_size=block_size, **options)


def new_request(vllm, name, tokens, hasher, *, skips_lookup=False, salt=None, lora=None):
    sampling = types.SimpleNamespace(
        max_tokens=1, extra_args=None, skip_reading_prefix_cache=skips_lookup)
    return vllm.Request(
        request_id=str(name), prompt_token_ids=list(tokens), sampling_params=sampling,
        pooling_params=None, cache_salt=salt, lora_request=lora, block_hasher=hasher)
