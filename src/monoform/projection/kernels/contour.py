"""Gauss-Newton on outlines: the rim of the posed mesh is drawn onto the outline of the mask.

A rim pixel of the rendered silhouette carries the 3D point that is seen there, so its motion under a small pose
change is known in closed form; matched both ways with the mask's outline points, it gives a 6x6 normal equation with
a basin of many pixels, where a coverage gradient sees only one. Works on any triangle soup: no topology is needed.
"""

import numpy as np
from numba import njit

POWER = 2.0
"""Of the weight (s^2 / (s^2 + d^2))^POWER of a match d apart: 2 is Geman-McClure's."""
DAMPING = 1e-3
"""Levenberg-Marquardt's, a share of the diagonal."""

WIDE = np.float32(8.0)
"""Triangles wider than this, pixels, are drawn row by row between their edges: of a long sliver's box nearly all is empty."""


@njit(cache=True, nogil=True, inline="always")
def pose_points(vertices, R, t, camera, points):
    """Pixels and inverse depth of posed `vertices` into `points` (v, 3); False if one lies behind the camera."""
    for i in range(vertices.shape[0]):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        depth = np.float32(R[2, 0] * x + R[2, 1] * y + R[2, 2] * z + t[2])
        if depth < np.float32(1e-3):
            return False
        inverse = np.float32(1.0) / depth
        points[i, 0] = camera[0] * np.float32(R[0, 0] * x + R[0, 1] * y + R[0, 2] * z + t[0]) * inverse + camera[2]
        points[i, 1] = camera[1] * np.float32(R[1, 0] * x + R[1, 1] * y + R[1, 2] * z + t[1]) * inverse + camera[3]
        points[i, 2] = inverse
    return True


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _row_span(x0, y0, x1, y1, x2, y2, py, left, right):
    """Where the line y = py may cross a triangle, a pixel to spare on both sides, within [left, right]."""
    begin, end = right, left
    for xa, ya, xb, yb in ((x0, y0, x1, y1), (x1, y1, x2, y2), (x2, y2, x0, y0)):
        if min(ya, yb) <= py <= max(ya, yb):
            share = (py - ya) / (yb - ya) if yb != ya else np.float32(0.0)
            x = xa + share * (xb - xa)
            begin = min(begin, x if yb != ya else min(xa, xb))
            end = max(end, x if yb != ya else max(xa, xb))
    return max(left, begin - np.float32(1.0)), min(right, end + np.float32(1.0))


@njit(cache=True, nogil=True, error_model="numpy")
def draw_inverse_depth(points, faces, image):
    """Largest 1/depth at every pixel centre, 0 where there is nothing; 1/depth is linear on the screen."""
    h, w = image.shape
    image[:] = 0.0
    half = np.float32(0.5)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        x0, y0, x1, y1, x2, y2 = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        top, bottom = min(y0, y1, y2), max(y0, y1, y2)
        left, right = min(x0, x1, x2), max(x0, x1, x2)
        if bottom < half or top > h - half or right < half or left > w - half:
            continue
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        if abs(area) < np.float32(1e-6):
            continue
        inverse = np.float32(1.0) / area
        da, db = (y1 - y2) * inverse, (y2 - y0) * inverse
        z0, z1, z2 = points[a, 2], points[b, 2], points[c, 2]
        for y in range(max(0, int(np.ceil(top - half))), min(h - 1, int(np.floor(bottom - half))) + 1):
            py = np.float32(y) + half
            begin, end = left, right
            if right - left > WIDE:
                begin, end = _row_span(x0, y0, x1, y1, x2, y2, py, left, right)
            for x in range(max(0, int(np.ceil(begin - half))), min(w - 1, int(np.floor(end - half))) + 1):
                px = np.float32(x) + half
                u = da * (px - x2) + (x2 - x1) * (py - y2) * inverse
                v = db * (px - x2) + (x0 - x2) * (py - y2) * inverse
                if u >= 0 and v >= 0 and u + v <= 1:
                    z = z2 + u * (z0 - z2) + v * (z1 - z2)
                    if z > image[y, x]:
                        image[y, x] = z


@njit(cache=True, nogil=True, inline="always")
def _outward(image, y, x):
    """Outward direction of the silhouette at a rim pixel: minus the Sobel gradient over a 5x5 window, unnormalised."""
    gx, gy = np.float32(0.0), np.float32(0.0)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if image[y + dy, x + dx] > 0:
                gx -= np.float32(dx)
                gy -= np.float32(dy)
    return gx, gy


@njit(cache=True, nogil=True)
def find_rim(image, valid, rim):
    """Rim of the silhouette into `rim` (5, n): x, y (moved half a pixel outward), outward normal, inverse depth.

    A rim pixel is covered and has an uncovered 4-neighbour. Its centre lies on average half a pixel (along the
    normal's larger component) inside the true outline, hence the shift. Rim where `valid` is 0 (outside the photo) is
    left out. Returns the count.
    """
    h, w = image.shape
    count = 0
    for y in range(2, h - 2):
        for x in range(2, w - 2):
            if image[y, x] <= 0 or valid[y, x] == 0 or count == rim.shape[1]:
                continue
            if image[y - 1, x] > 0 and image[y + 1, x] > 0 and image[y, x - 1] > 0 and image[y, x + 1] > 0:
                continue
            gx, gy = _outward(image, y, x)
            length = np.sqrt(gx * gx + gy * gy)
            if length < 1.0:
                continue
            gx, gy = gx / length, gy / length
            shift = np.float32(0.5) * max(abs(gx), abs(gy))
            rim[0, count], rim[1, count] = x + 0.5 + shift * gx, y + 0.5 + shift * gy
            rim[2, count], rim[3, count], rim[4, count] = gx, gy, image[y, x]
            count += 1
    return count


@njit(cache=True, nogil=True)
def _thin(rim, count, limit):
    """Keep every n-th rim point in place so that at most `limit` remain; returns their count."""
    stride = (count + limit - 1) // limit
    if stride <= 1:
        return count
    kept = 0
    for i in range(0, count, stride):
        for k in range(5):
            rim[k, kept] = rim[k, i]
        kept += 1
    return kept


@njit(cache=True, nogil=True, fastmath=True)
def _nearest(x, y, nx, ny, others, count, distance):
    """Index of the nearest of `others` (4, n: x, y, nx, ny) that faces the same way (within 72 degrees), or -1.

    `distance` (n,) float32 is scratch: filling it first lets the compiler vectorise what is most of the refinement.
    """
    far = np.float32(1e18)
    for j in range(count):
        dx, dy = others[0, j] - x, others[1, j] - y
        same = nx * others[2, j] + ny * others[3, j] > np.float32(0.3)
        distance[j] = dx * dx + dy * dy if same else far
    best, index = far, -1
    for j in range(count):
        if distance[j] < best:
            best, index = distance[j], j
    return index


@njit(cache=True, nogil=True, inline="always")
def _motion(rim, i, nx, ny, t, camera, row):
    """`row` (6,) = d(n . pixel)/d(rotation about t, translation) of a rim point."""
    depth = 1.0 / rim[4, i]
    x = (rim[0, i] - camera[2]) / camera[0] * depth
    y = (rim[1, i] - camera[3]) / camera[1] * depth
    row[3] = nx * camera[0] / depth
    row[4] = ny * camera[1] / depth
    row[5] = -(row[3] * x + row[4] * y) / depth
    px, py, pz = x - t[0], y - t[1], depth - t[2]  # lever arm about the object's centre
    row[0] = py * row[5] - pz * row[4]
    row[1] = pz * row[3] - px * row[5]
    row[2] = px * row[4] - py * row[3]


@njit(cache=True, nogil=True, inline="always")
def _add_row(row, residual, weight, normal, right):
    """Add one residual to the normal equations."""
    for a in range(6):
        right[a] += weight * row[a] * residual
        for b in range(6):
            normal[a, b] += weight * row[a] * row[b]


@njit(cache=True, nogil=True)
def normal_equations(rim, rim_count, outline, t, camera, scale, final, normal, right):
    """Both matchings into `normal` (6, 6), `right` (6,); returns the robust cost, mean over the points of both.

    `outline` (4, m): x, y, outward normal of the mask; `rim` (5, n) likewise and inverse depth. The weights are
    Geman-McClure's with `scale` in pixels, the cost with `final`, so that what an occluder or a wrong mask adds is
    bounded and costs compare at whatever scale a step was taken.
    """
    normal[:], right[:] = 0.0, 0.0
    row, distance = np.empty(6), np.empty(max(rim.shape[1], outline.shape[1]), np.float32)
    s, f = scale * scale, final * final
    cost, total = 0.0, 0
    for side in range(2):
        points = rim_count if side == 0 else outline.shape[1]
        share = 1.0 / max(points, 1)
        for k in range(points):
            if side == 0:
                i = k
                j = _nearest(rim[0, k], rim[1, k], rim[2, k], rim[3, k], outline, outline.shape[1], distance)
            else:
                i = _nearest(outline[0, k], outline[1, k], outline[2, k], outline[3, k], rim, rim_count, distance)
                j = k
            if i < 0 or j < 0:
                cost += share
                continue
            nx, ny = (outline[2, j], outline[3, j]) if side == 0 else (rim[2, i], rim[3, i])
            dx, dy = outline[0, j] - rim[0, i], outline[1, j] - rim[1, i]
            d = dx * dx + dy * dy
            cost += share * d / (f + d)
            total += 1
            _motion(rim, i, nx, ny, t, camera, row)
            _add_row(row, nx * dx + ny * dy, share * (s / (s + d)) ** POWER, normal, right)
    return 0.5 * cost if total > 0 else 1.0


@njit(cache=True, nogil=True)
def rim_curvature(vertices, faces, R, t, camera, valid, curvature):
    """Gauss-Newton Hessian (6, 6) of the squared silhouette difference, from the rim; False if there is none.

    A rim pixel's coverage changes by about its normal motion in pixels, so the Hessian of the sum of squares is
    2 * sum of row^T row over the rim, `row` as in `_motion`.
    """
    h, w = valid.shape
    points, image = np.empty((vertices.shape[0], 3), np.float32), np.empty((h, w), np.float32)
    curvature[:] = 0.0
    if not pose_points(vertices, R, t, camera, points):
        return False
    draw_inverse_depth(points, faces, image)
    rim, row, unused = np.empty((5, 8 * (h + w)), np.float32), np.empty(6), np.zeros(6)
    count = find_rim(image, valid, rim)
    for i in range(count):
        _motion(rim, i, rim[2, i], rim[3, i], t, camera, row)
        _add_row(row, 0.0, 2.0, curvature, unused)
    return count >= 6


@njit(cache=True, nogil=True)
def rotate_by(R, w):
    """exp([w]x) @ R (Rodrigues), `w` radians."""
    angle = np.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    a = np.sin(angle) / angle if angle > 1e-8 else 1.0
    b = (1 - np.cos(angle)) / (angle * angle) if angle > 1e-8 else 0.5
    W = np.zeros((3, 3))
    W[0, 1], W[0, 2], W[1, 0], W[1, 2], W[2, 0], W[2, 1] = -w[2], w[1], w[2], -w[0], -w[1], w[0]
    return (np.eye(3) + a * W + b * (W @ W)) @ R


@njit(cache=True, nogil=True)
def refine_outline(vertices, faces, R, t, camera, outline, valid, scales, final, limit):
    """Refine one pose in place, one Gauss-Newton step per robust scale; returns the robust cost of the best pose.

    `vertices` (v, 3) float32 about the object's centre, `R` (3, 3), `t` (3,) float64 (overwritten by the best pose),
    `camera` (fx, fy, cx, cy) float32 pixels of the grid `valid` (h, w), `outline` (4, m) float32, `scales` (n,) pixels, at
    most `limit` rim points are matched. The cost at scale `final` decides which pose is best; no scales: only measure.
    """
    h, w = valid.shape
    points, image = np.empty((vertices.shape[0], 3), np.float32), np.empty((h, w), np.float32)
    rim = np.empty((5, 8 * (h + w)), np.float32)
    normal, right = np.empty((6, 6)), np.empty(6)
    best_cost, best_R, best_t = 2.0, R.copy(), t.copy()
    for step in range(scales.shape[0] + 1):
        if not pose_points(vertices, R, t, camera, points):
            break
        draw_inverse_depth(points, faces, image)
        count = find_rim(image, valid, rim)
        if count < 6:
            break
        scale = scales[step] if step < scales.shape[0] else final
        count = _thin(rim, count, limit)
        cost = normal_equations(rim, count, outline, t, camera, scale, final, normal, right)
        if cost < best_cost:
            best_cost, best_R, best_t = cost, R.copy(), t.copy()
        if step == scales.shape[0]:
            break
        for k in range(6):
            normal[k, k] = normal[k, k] * (1 + DAMPING) + 1e-9
        change = np.linalg.solve(normal, right)
        largest = max(abs(change[0]), abs(change[1]), abs(change[2]))
        if not np.isfinite(largest):
            break
        shrink = min(1.0, 0.35 / max(largest, 1e-12), 0.3 * t[2] / max(abs(change[5]), 1e-12))
        R[:] = rotate_by(R, change[:3] * shrink)
        t += change[3:] * shrink
    R[:], t[:] = best_R, best_t
    return best_cost
