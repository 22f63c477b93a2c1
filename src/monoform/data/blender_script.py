# pyright: basic, reportMissingImports=false
"""Runs in Blender's Python, never in this library's: renders a job written by `monoform.data.blender`.

    PYTHON_WITH_BPY blender_script.py JOB_JSON

Imports nothing of the library. For Blender 4, whose compositor writes the depth as OpenEXR; Blender itself reads it back.
"""

import json
import sys
from pathlib import Path


def main(job_path: Path) -> None:
    import bpy
    import numpy as np

    job = json.loads(job_path.read_text())
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    prepare_scene(bpy, scene, job)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    loaded, shown = {}, None
    for record in job["images"]:
        if record["mesh"] not in loaded:
            loaded[record["mesh"]] = load_mesh(bpy, job_path.parent / record["mesh"])
            loaded[record["mesh"]].hide_render = True
        if shown is not None:
            shown.hide_render = True
        shown = loaded[record["mesh"]]
        shown.hide_render = False
        place_camera(scene, camera, record)
        scene.render.filepath = str(job_path.parent / record["image"])
        bpy.ops.render.render(write_still=True)
        np.save(job_path.parent / record["depth"], take_depth(bpy, job_path.parent, record["size_hw"], np))


def prepare_scene(bpy, scene, job) -> None:
    """Cycles on the processor, transparent film, one sun and an even sky, depth written by the compositor."""
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = job["samples"]
    scene.cycles.use_denoising = False
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("sky")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[1].default_value = job["sky"]
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy = job["sun"]
    sun.rotation_euler = (-0.9, 0.4, 0.0)  # y is up: the sun stands above and in front
    scene.collection.objects.link(sun)
    scene.view_layers[0].use_pass_z = True
    scene.use_nodes = True
    tree = scene.node_tree
    tree.nodes.clear()
    layers = tree.nodes.new("CompositorNodeRLayers")
    output = tree.nodes.new("CompositorNodeOutputFile")
    output.format.file_format = "OPEN_EXR"
    output.format.color_depth = "32"
    output.file_slots[0].path = "z-"
    tree.links.new(layers.outputs["Depth"], output.inputs[0])
    composite = tree.nodes.new("CompositorNodeComposite")
    tree.links.new(layers.outputs["Image"], composite.inputs[0])
    output.base_path = str(Path(sys.argv[-1]).parent)


def load_mesh(bpy, path):
    """A PLY with its axes as they are, painted with its vertex colours where it has any."""
    bpy.ops.wm.ply_import(filepath=str(path), forward_axis="Y", up_axis="Z")
    thing = bpy.context.selected_objects[0]
    material = bpy.data.materials.new(path.stem)
    material.use_nodes = True
    shader = material.node_tree.nodes["Principled BSDF"]
    if thing.data.color_attributes:
        colour = material.node_tree.nodes.new("ShaderNodeVertexColor")
        colour.layer_name = thing.data.color_attributes[0].name
        material.node_tree.links.new(colour.outputs["Color"], shader.inputs["Base Color"])
    thing.data.materials.clear()
    thing.data.materials.append(material)
    return thing


def place_camera(scene, camera, record) -> None:
    from mathutils import Matrix

    h, w = record["size_hw"]
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = w, h, 100
    camera.data.sensor_fit = "HORIZONTAL"
    camera.data.sensor_width = 32.0
    camera.data.lens = record["focal_px"] * 32.0 / w
    camera.data.shift_x, camera.data.shift_y = record["shift_x"], record["shift_y"]
    camera.data.clip_start, camera.data.clip_end = 0.01, 100.0
    camera.matrix_world = Matrix(record["camera_to_world"])


def take_depth(bpy, folder, size_hw, np):
    """(h, w) float32 from the EXR that the compositor wrote, which is removed; Blender's rows run upwards."""
    (path,) = folder.glob("z-*.exr")
    image = bpy.data.images.load(str(path), check_existing=False)
    pixels = np.array(image.pixels[:], dtype=np.float32).reshape(*size_hw, -1)[::-1, :, 0]
    bpy.data.images.remove(image)
    path.unlink()
    return np.where(pixels < 1e9, pixels, np.inf).astype(np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
