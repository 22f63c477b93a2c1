"""USDZ: one USDA text layer in an uncompressed zip whose data start at multiples of 64 bytes.

OpenUSD, "Usdz File Format Specification", https://openusd.org/release/spec_usdz.html
"""

import io
import struct
import zipfile

from monoform.files.gltf import srgb_to_linear
from monoform.meshes import Mesh, bounds

_LAYER = "mesh.usda"
_ALIGNMENT = 64
_LOCAL_HEADER = 30
_PADDING_ID = 0x1986
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_usdz(mesh: Mesh) -> bytes:
    """A USDZ file of one mesh in its own frame: float32 points, linear display colours, y up, one metre a unit."""
    layer = _layer(mesh).encode("ascii")
    before = _LOCAL_HEADER + len(_LAYER)
    padding = (-(before + 4)) % _ALIGNMENT
    entry = zipfile.ZipInfo(_LAYER, _EPOCH)
    entry.extra = struct.pack("<HH", _PADDING_ID, padding) + bytes(padding)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr(entry, layer)
    return archive.getvalue()


def _layer(mesh: Mesh) -> str:
    points = mesh.vertices.astype("float32")
    low, high = bounds(points)
    lines = [
        "#usda 1.0",
        '(\n    defaultPrim = "Model"\n    metersPerUnit = 1\n    upAxis = "Y"\n)\n',
        'def Xform "Model"\n{\n    def Mesh "Mesh"\n    {',
        "        uniform bool doubleSided = 1",
        f"        float3[] extent = {_tuples([low.tolist(), high.tolist()])}",
        f"        int[] faceVertexCounts = [{', '.join(['3'] * len(mesh.faces))}]",
        f"        int[] faceVertexIndices = [{', '.join(map(str, mesh.faces.ravel().tolist()))}]",
        f"        point3f[] points = {_tuples(points.tolist())}",
        '        uniform token subdivisionScheme = "none"',
    ]
    if mesh.colours is not None:
        linear = srgb_to_linear(mesh.colours / 255.0).round(6).tolist()
        lines.append(f'        color3f[] primvars:displayColor = {_tuples(linear)} ( interpolation = "vertex" )')
    return "\n".join(lines) + "\n    }\n}\n"


def _tuples(rows: list[list[float]]) -> str:
    return "[" + ", ".join(f"({x:.9g}, {y:.9g}, {z:.9g})" for x, y, z in rows) + "]"
