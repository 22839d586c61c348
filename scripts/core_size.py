"""Install llamakeep's core, without extras, on its own, and print what it takes."""

import subprocess
import sys
import tempfile
from pathlib import Path

UV = Path(".venv/bin/uv")


def main() -> int:
    """Return 0 when the core is as small as the README says."""
    with tempfile.TemporaryDirectory() as name:
        core, locked = Path(name) / "core", Path(name) / "core.txt"
        uv("venv", core, "--python", sys.executable)
        uv("pip", "compile", "pyproject.toml", "-c", "requirements.txt", "-o", locked)
        uv("pip", "install", "--python", core, "-r", locked)

        [packages_folder] = core.glob("[Ll]ib/**/site-packages")
        packages = len(list(packages_folder.glob("*.dist-info")))
        installed = megabytes(packages_folder)
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", str(packages_folder)], check=True
        )
        compiled = megabytes(packages_folder)

    print(
        f"Core install: {packages} packages, {installed:.0f} MB "
        f"({compiled:.0f} MB when all of it is byte-compiled)."
    )
    return int(packages > 35 or installed > 70)


def uv(*arguments: str | Path) -> None:
    """Run uv without its chatter; its errors are shown."""
    subprocess.run([UV, "--quiet", *arguments], check=True, stdout=subprocess.DEVNULL)


def megabytes(folder: Path) -> float:
    """Return the sizes of all files, as the disk counts them, in units of 2**20."""
    return sum(f.stat().st_blocks * 512 for f in folder.rglob("*")) / 2**20


if __name__ == "__main__":
    sys.exit(main())
