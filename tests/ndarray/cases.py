"""Calls whose answers are compared with MXNet's: text that is run under either library.

Each case is Python text; what its last expression gives is the answer. `PRELUDE` runs before every case, so a
case may change its arrays. `make_oracle.py` runs them under MXNet 1.9.1 and writes `oracle.json`.
"""

PRELUDE = """
a = mx.nd.array([[1, 2, 3], [4, 5, 6]])
b = mx.nd.array([[6, 5, 4], [3, 2, 1]])
v = mx.nd.array([1, 2, 3])
t = mx.nd.array(np.arange(24).reshape(2, 3, 4))
i = mx.nd.array([[1, 2, 3], [4, 5, 6]], dtype='int32')
j = mx.nd.array([[3, 3, 2], [2, 1, 1]], dtype='int32')
u = mx.nd.array([[1, 2, 3], [250, 251, 252]], dtype='uint8')
l = mx.nd.array([[1, 2, 3], [4, 5, 6]], dtype='int64')
h = mx.nd.array([[1, 2, 3], [4, 5, 6]], dtype='float16')
d = mx.nd.array([[1, 2, 3], [4, 5, 6]], dtype='float64')
one = mx.nd.array([7])
dense = np.array([[0, 1, 0], [0, 0, 0], [2, 0, 3], [0, 0, 0]], 'float32')
c = mx.nd.array(dense).tostype('csr')
r = mx.nd.array(dense).tostype('row_sparse')
w = mx.nd.array(np.arange(12).reshape(4, 3))
"""

CREATION = """
mx.nd.array([1, 2])
mx.nd.array([1, 2], dtype='int32')
mx.nd.array([1, 2], dtype=np.float64)
mx.nd.array(np.array([1, 2], dtype='int64'))
mx.nd.array(np.array([1, 2], dtype='float64'))
mx.nd.array(np.array([1, 2], dtype='uint8'))
mx.nd.array(np.array([True, False]))
mx.nd.array(i)
mx.nd.array(h)
mx.nd.array(3)
mx.nd.array(np.float32(3))
mx.nd.array([[1, 2], [3, 4]])
mx.nd.array([a.asnumpy(), b.asnumpy()])
mx.nd.array((1.5, 2.5))
mx.nd.array(range(3))
mx.nd.array([])
mx.nd.array('abc')
mx.nd.array([[1], [1, 2]])
mx.nd.array(None)
mx.nd.array([1, 2], ctx=mx.cpu(1)).context
mx.nd.zeros(3)
mx.nd.zeros((2, 3))
mx.nd.zeros((2, 3), dtype='int32')
mx.nd.zeros(shape=(2,), ctx=mx.cpu())
mx.nd.zeros((0, 3)).shape
mx.nd.ones((2, 3))
mx.nd.ones([2, 3], dtype='float16')
mx.nd.ones((2,), dtype=np.int64)
mx.nd.full((2, 2), 7)
mx.nd.full((2, 2), 7, dtype='int32')
mx.nd.full(3, 1.5)
o = mx.nd.zeros((2, 2)); mx.nd.full((2, 2), 3, out=o); o
mx.nd.empty((2, 3)).shape
mx.nd.empty((2, 3), dtype='int8').dtype
mx.nd.arange(5)
mx.nd.arange(2, 7)
mx.nd.arange(2, 7, 2)
mx.nd.arange(2, 7, 2, repeat=2)
mx.nd.arange(0, 1, 0.3)
mx.nd.arange(5, 0, -2)
mx.nd.arange(5, dtype='int32')
mx.nd.arange(start=1, stop=4, step=1.5)
mx.nd.linspace(0, 1, 5)
mx.nd.linspace(0, 1, 5, endpoint=False)
mx.nd.linspace(1, 2, 3, dtype='float64')
mx.nd.eye(2)
mx.nd.eye(2, 3)
mx.nd.eye(3, 3, 1)
mx.nd.eye(3, k=-1, dtype='int32')
mx.nd.zeros_like(a)
mx.nd.ones_like(i)
a.zeros_like()
a.ones_like()
mx.nd.concatenate([a, b])
mx.nd.concatenate([a, b], axis=1)
mx.nd.concatenate([a])
mx.nd.concat(a, b, dim=1)
mx.nd.concat(a, b, dim=0)
mx.nd.concat(a, v, dim=0)
mx.nd.concat(*[a, b], dim=-1)
mx.nd.stack(a, b)
mx.nd.stack(a, b, axis=1)
mx.nd.stack(a, b, axis=-1)
mx.nd.split(a, 3, axis=1)
mx.nd.split(a, num_outputs=2, axis=0)
mx.nd.split(a, num_outputs=2, axis=0, squeeze_axis=True)
mx.nd.split(a, num_outputs=1, axis=0)
mx.nd.split(a, num_outputs=2)
mx.nd.SliceChannel(t, num_outputs=3, axis=1)
mx.nd.split_v2(a, 3, axis=1)
mx.nd.split_v2(a, (1,), axis=1)
mx.nd.split_v2(a, 2, axis=0, squeeze_axis=True)
mx.nd.moveaxis(t, 0, 2).shape
mx.nd.moveaxis(t, [0, 1], [-1, -2]).shape
mx.nd.moveaxis(t, 0, 2)
mx.nd.moveaxis(t, 5, 0)
mx.nd.onehot_encode(mx.nd.array([1, 0]), mx.nd.zeros((2, 3)))
mx.nd.from_numpy(np.array([1., 2.], 'float32'))
mx.nd.histogram(mx.nd.array([1, 2, 1, 4]), bins=3, range=(0, 6))
mx.nd.histogram(mx.nd.array([1, 2, 1, 4]), mx.nd.array([0, 2, 4]))
""".strip().splitlines()

_BINARY = ["+", "-", "*", "/", "%", "**", "==", "!=", ">", ">=", "<", "<="]

ARITHMETIC = [
    *(f"a {o} b" for o in _BINARY),
    *(f"a {o} 2" for o in _BINARY),
    *(f"2 {o} a" for o in _BINARY),
    *(f"a {o} v" for o in _BINARY),
    *(f"{x} {o} {y}" for o in _BINARY for x, y in (("i", "j"), ("h", "h"), ("d", "d"), ("l", "l"))),
    *(f"i {o} 2" for o in _BINARY),
    *(f"2 {o} i" for o in _BINARY),
    *(f"i {o} 2.5" for o in ("+", "*", "==", ">", "<")),
    *(f"u {o} 10" for o in ("+", "-", "*", "/", "==", ">")),
    *(f"h {o} 3" for o in _BINARY),
    *(f"d {o} 0.1" for o in ("+", "-", "*", "/", "**")),
    *(
        line
        for line in """
a + i
i + a
h + a
d * a
a + [1, 2, 3]
a + 'x'
a + None
a + np.array([1, 2, 3])
a == None
a == 'x'
a + mx.nd.array([1, 2])
a + np.float32(2)
a + np.int64(2)
a * True
-a
-i
abs(-a)
a ** -1
1 / i
i / j
u + u
u - 5
i // 2
a // 2
divmod(a, 2)
a @ b
a and b
bool(one)
bool(mx.nd.array([0]))
bool(a)
bool(mx.nd.array([]))
float(one)
int(one)
int(mx.nd.array([7.9]))
float(a)
len(a)
len(one)
np.arange(10)[mx.nd.array([3], dtype='int32')]
[0, 1, 2][mx.nd.array([1], dtype='int64')]
[0, 1, 2][mx.nd.array([1])]
a += b; a
a += 1; a
a -= 1; a
a *= b; a
a /= 2; a
a %= 2; a
a += v; a
v += a; v
a **= 2; a
x = a; x += 1; a
x = a; x = x + 1; a
i += 1; i
i /= 2; i
i *= 2.5; i
i += a; i
u += 10; u
h += 1; h
a /= 0; a
mx.nd.array([1, -1, 0]) / 0
mx.nd.array([5, -5, 5.5]) % 3
mx.nd.array([5, -5, 5.5]) % -3
mx.nd.array([5, -5], dtype='int32') % 3
mx.nd.array([5, -5], dtype='int32') % -3
mx.nd.array([5, -5], dtype='int32') / 2
mx.nd.array([5.]) % 0
mx.nd.array([-8.]) ** (1 / 3)
mx.nd.add(a, b)
mx.nd.add(a, 1)
mx.nd.add(1, a)
mx.nd.add(1, 2)
mx.nd.subtract(1, a)
mx.nd.multiply(a, b)
mx.nd.divide(1, a)
mx.nd.true_divide(a, b)
mx.nd.modulo(a, 2)
mx.nd.modulo(7, a)
mx.nd.power(2, a)
mx.nd.power(a, 2)
mx.nd.power(a, b)
mx.nd.maximum(a, b)
mx.nd.maximum(a, 3)
mx.nd.maximum(3, a)
mx.nd.minimum(a, b)
mx.nd.minimum(3, a)
mx.nd.maximum(a, v)
mx.nd.maximum(2, 3)
mx.nd.equal(a, b)
mx.nd.equal(3, a)
mx.nd.not_equal(a, 3)
mx.nd.greater(a, b)
mx.nd.greater(3, a)
mx.nd.greater_equal(3, a)
mx.nd.lesser(3, a)
mx.nd.lesser_equal(a, b)
mx.nd.logical_and(a, mx.nd.zeros((2, 3)))
mx.nd.logical_or(a, 0)
mx.nd.logical_xor(a, 1)
mx.nd.logical_not(a)
mx.nd.hypot(a, b)
mx.nd.add('x', a)
mx.nd.elemwise_add(a, b)
mx.nd.elemwise_add(a, v)
mx.nd.elemwise_add(lhs=a, rhs=b)
mx.nd.broadcast_add(a, v)
mx.nd.broadcast_add(a, mx.nd.array([[1, 2, 3]]))
mx.nd.broadcast_to(mx.nd.array([[1, 2, 3]]), shape=(2, 3))
mx.nd.broadcast_to(mx.nd.array([[1, 2, 3]]), (2, 0))
mx.nd.add_n(a, b, a)
mx.nd.ElementWiseSum(a, b)
mx.nd.dot(a, b.T)
mx.nd.dot(v, v)
mx.nd.dot(a, v)
mx.nd.dot(a, b)
mx.nd.dot(a, b, transpose_a=True)
mx.nd.dot(t, mx.nd.ones((4, 2))).shape
mx.nd.square(a)
mx.nd.sqrt(a)
mx.nd.sqrt(i)
mx.nd.exp(i)
mx.nd.negative(i)
o = mx.nd.zeros((2, 3)); mx.nd.square(a, out=o); o
o = mx.nd.zeros((2, 2)); mx.nd.square(a, out=o)
mx.nd.square(a, out=a); a
mx.nd.elemwise_add(a, b, out=a); a
mx.nd.square()
mx.nd.square(a, b)
mx.nd.square('x')
mx.nd.square(a, foo=1)
mx.nd.square(data=a)
mx.nd.sum(a, axis=(0, 1))
mx.nd.sum(a, axis='0')
mx.nd.sum(a, axis=5)
mx.nd.clip(a, 2, 4)
mx.nd.clip(a, a_min=2, a_max=4)
mx.nd.clip(a)
mx.nd.Activation(a, act_type='nosuch')
mx.nd.nosuch(a)
""".strip().splitlines()
    ),
]

INDEXING = """
a[0]
a[1]
a[-1]
a[2]
a[-3]
a[0, 1]
a[0][1]
a[0, 1].asscalar()
a[:, 1]
a[:, 1:2]
a[0:1]
a[0:5]
a[1:0].shape
a[::-1]
a[:, ::-1]
a[:, ::2]
a[::2]
a[1:]
a[:-1]
a[...]
a[..., 0]
a[None].shape
a[:, None].shape
a[None, 0].shape
a[0, None].shape
a[..., None].shape
a[()].shape
v[0]
v[-1]
v[3]
v[0:2]
v[0].shape
one[0].shape
t[1]
t[0, 1]
t[0, 1, 2]
t[:, 1]
t[:, 1, :].shape
t[..., 1]
t[1, ..., 2]
t[:, :, 1:3].shape
t[:, 1:3, ::2]
t[0, 0, 0, 0]
t[..., ...]
t[np.newaxis, :, 0].shape
a[[0, 1, 1]]
a[[0, 1], [1, 2]]
a[mx.nd.array([1, 0])]
a[mx.nd.array([1, 0], dtype='int32')]
a[np.array([1, 0])]
a[np.array([-1, 0])]
a[:, [0, 2]]
a[[0], :]
a[[0, 5]]
a[(0, 1)]
a[[True, False]]
a[np.array([True, False])]
a[mx.nd.array([1, 0], dtype='bool')]
a[a > 3]
a[a.asnumpy() > 3]
t[[0, 1], :, [1, 2]].shape
t[:, [0, 2], 1]
t[0, [0, 2]]
t[[[0, 1], [1, 0]]].shape
t[1, mx.nd.array([0, 2]), 1:3]
t[range(2)].shape
a[1.5]
a['x']
a[{}]
a[0, 'x']
a[np.int64(1)]
a[np.int32(0), np.int64(1)]
a[mx.nd.array([1])].shape
a[slice(0, 2), slice(1, 3)]
a[slice(None, None, 0)]
x = a[0]; x[:] = 9; a
x = a[0:1]; x[:] = 9; a
x = a[0]; x += 1; a
x = a[:]; x[:] = 0; a
x = a[:, 1]; x[:] = 9; a
x = a[:, 0:2]; x[:] = 9; a
x = a[[0]]; x[:] = 9; a
x = t[1, 2]; x[:] = -1; t[1]
x = t[0, 1:3]; x[:] = -1; t[0]
x = v[1:2]; x[:] = 9; v
x = a[...]; x[:] = 5; a
x = a[None]; x[:] = 5; a
x = a[::2]; x[:] = 5; a
a[:] = 7; a
a[:] = b; a
a[:] = b.asnumpy(); a
a[:] = v; a
a[:] = [[1, 1, 1], [2, 2, 2]]; a
a[:] = [5, 6, 7]; a
a[:] = True; a
a[:] = np.float64(3); a
a[:] = i; a
i[:] = 2.7; i
i[:] = a * 1.5; i
u[:] = 300; u
a[0] = 9; a
a[0] = v; a
a[0] = [7, 8, 9]; a
a[-1] = 0; a
a[2] = 0
a[0:1] = 5; a
a[0:1] = v; a
a[1:] = mx.nd.array([[9, 9, 9]]); a
a[:, 1] = 0; a
a[:, 1] = mx.nd.array([8, 9]); a
a[:, 1:] = 0; a
a[:, ::2] = 0; a
a[::-1] = b; a
a[0, 1] = 100; a
a[0, 1:3] = 50; a
a[0, :] = np.array([1, 1, 1]); a
a[...] = 3; a
a[..., 0] = 3; a
a[()] = 4; a
a[None] = 4; a
a[[0, 1], [1, 2]] = 0; a
a[[0, 1], [1, 2]] = mx.nd.array([8, 9]); a
a[[1, 0]] = b; a
a[mx.nd.array([1])] = 7; a
a[np.array([0, 1])] = 7; a
a[:, [0, 2]] = 7; a
a[:, [0, 2]] = mx.nd.array([[1, 2], [3, 4]]); a
a[a > 3] = 0; a
a[np.array([True, False])] = 0; a
a[0] = mx.nd.array([1, 2])
a[:] = mx.nd.ones((3, 3))
a[:] = mx.nd.ones((1, 2, 3)); a
a[:] = mx.nd.ones((1, 1)); a
a[0, 0] = mx.nd.array([5]); a
a[0, 0] = one; a
a['x'] = 1
a[:] = 'x'
a[:] = None
t[0, 1, 2] = -1; t[0]
t[:, 1] = mx.nd.array([9, 8, 7, 6]); t
t[:, 1:2] = mx.nd.ones((2, 1, 4)); t
t[1, ..., 0] = 5; t
t[:, :, 1] = mx.nd.array([[1, 2, 3], [4, 5, 6]]); t
t[:, 1, ::2] = mx.nd.array([[1, 2], [3, 4]]); t
t[[0, 1], 1] = 0; t
t[0, [0, 2], 1:3] = mx.nd.array([[1, 2], [3, 4]]); t
v[0] = 5; v
v[-1] = one; v
v[0:2] = [8, 9]; v
v[:] = range(3); v
one[0] = 1; one
a.slice_assign(mx.nd.array([[8, 9]]), (0, 1), (1, 3), (None, None)); a
a.slice_assign_scalar(9, (0, 1), (1, 3), (None, None)); a
a.slice(begin=(0, 1), end=(2, 3))
a.slice(begin=(None, 0), end=(None, 2))
a.slice(begin=(1,), end=(None,))
a.slice_axis(axis=1, begin=0, end=2)
a.slice_axis(axis=1, begin=-2, end=None)
a.slice_axis(axis=-1, begin=1, end=2)
a.slice_like(mx.nd.zeros((1, 2)))
a.take(mx.nd.array([1, 0]))
a.take(mx.nd.array([5]))
a.take(mx.nd.array([5, -1]), mode='wrap')
a.take(mx.nd.array([0, 2]), axis=1)
a.pick(mx.nd.array([0, 2]))
a.pick(mx.nd.array([0, 2]), axis=1, keepdims=True)
mx.nd.batch_take(a, mx.nd.array([0, 2]))
mx.nd.gather_nd(a, mx.nd.array([[0, 1], [1, 2]]))
mx.nd.scatter_nd(mx.nd.array([8, 9]), mx.nd.array([[0, 1], [1, 2]]), shape=(2, 3))
mx.nd.where(a > 3, a, b)
mx.nd.one_hot(mx.nd.array([1, 0, 2]), 3)
list(a)[1]
[x.asnumpy().tolist() for x in v]
a[0].handle is not None
""".strip().splitlines()

SHAPES = """
t.reshape((6, 4)).shape
t.reshape(6, 4).shape
t.reshape((-1,)).shape
t.reshape(-1).shape
t.reshape((0, -1)).shape
t.reshape((0, 0, -1)).shape
t.reshape((-2,)).shape
t.reshape((2, -2)).shape
t.reshape((-3, 4)).shape
t.reshape((-3, 0)).shape
t.reshape((0, -3)).shape
t.reshape((-4, 1, 2, -2)).shape
t.reshape((-4, -1, 2, -2)).shape
t.reshape((0, -4, 3, 1, 0)).shape
t.reshape((-1, 0), reverse=True).shape
t.reshape((0, 0, 0)).shape
t.reshape((0, -3), reverse=True).shape
t.reshape((5, 5))
t.reshape((-1, -1))
t.reshape((7, -1))
t.reshape(shape=(4, 6)).shape
t.reshape([4, 6]).shape
t.reshape()
t.reshape((4, 6), foo=1)
mx.nd.reshape(t, shape=(0, -1)).shape
mx.nd.reshape(t, (4, 6)).shape
mx.nd.Reshape(t, shape=(-1, 4)).shape
x = a.reshape((3, 2)); x[:] = 0; a
x = a.reshape((3, 2)); x[0] = 9; a
x = a[0:1].reshape((3,)); x[:] = 9; a
x = a.T; x[:] = 0; a
x = a.flatten(); x[:] = 0; a
x = a.expand_dims(0); x[:] = 0; a
x = mx.nd.reshape(a, (3, 2)); x[:] = 0; a
t.reshape_like(mx.nd.zeros((4, 6))).shape
a.T
t.T.shape
v.T
t.transpose().shape
t.transpose((1, 0, 2)).shape
t.transpose(axes=(2, 0, 1)).shape
t.swapaxes(0, 2).shape
t.swapaxes(dim1=1, dim2=2).shape
t.flatten().shape
mx.nd.Flatten(t).shape
t.expand_dims(axis=1).shape
t.expand_dims(-1).shape
mx.nd.zeros((1, 3, 1)).squeeze().shape
mx.nd.zeros((1, 3, 1)).squeeze(axis=0).shape
mx.nd.zeros((1, 3, 1)).squeeze(axis=1)
mx.nd.zeros((1, 1)).squeeze().shape
a.tile(reps=(2, 2)).shape
a.tile((2,))
a.repeat(repeats=2, axis=1)
a.repeat(2)
a.flip(axis=1)
a.pad
t.depth_to_space
a.broadcast_to((2, 3)).shape
v.broadcast_to((2, 3))
v.reshape((1, 3)).broadcast_to((4, 3)).shape
v.reshape((1, 3)).broadcast_to((2, 2))
v.reshape((1, 3)).broadcast_like(a)
mx.nd.zeros((1, 3)).broadcast_axes(axis=0, size=2).shape
a.diag()
a.shape
a.size
a.ndim
a.dtype
i.dtype
h.dtype
a.stype
a.context
a.ctx
a.grad
a.shape_array()
a.size_array()
a.astype('int32')
a.astype(np.float64)
a.astype('float16').dtype
(a + 0.7).astype('int32')
(a - 2).astype('uint8')
mx.nd.array([300, -1]).astype('uint8')
mx.nd.array([2.5, -2.5]).astype('int32')
mx.nd.array([0, 2, -1]).astype('bool')
a.astype('nosuch')
a.astype('float32') is a
a.astype('float32', copy=False) is a
a.astype('float64', copy=False) is a
a.asnumpy().dtype.name
a.asnumpy().flags.writeable
x = a.asnumpy(); x[:] = 0; a
one.asscalar()
type(one.asscalar())
a.asscalar()
i[0, 0].asscalar()
a.copy()
x = a.copy(); x[:] = 0; a
a.copyto(mx.nd.zeros((2, 3)))
o = mx.nd.zeros((2, 3), dtype='int32'); a.copyto(o); o
o = mx.nd.zeros((3, 2)); a.copyto(o)
a.copyto(mx.cpu(1)).context
a.copyto('x')
a.copyto(a) is a
a.as_in_context(mx.cpu(0)) is a
a.as_in_context(mx.cpu(1)).context
a.as_in_context(mx.cpu(1)) + b.as_in_context(mx.cpu(1))
a.detach()
x = a.detach(); x[:] = 0; a
a.wait_to_read()
mx.nd.waitall()
a.tostype('default')
a.tostype('nosuch')
import copy; x = copy.deepcopy(a); x[:] = 0; a
import pickle; pickle.loads(pickle.dumps(i))
repr(a)
repr(i)
repr(one)
str(mx.nd.zeros((1,)))
repr(mx.nd.zeros((2, 2), ctx=mx.cpu(3)))
np.sum(a.asnumpy())
hash(a) == hash(a)
a is a
a in [a]
""".strip().splitlines()

METHODS = """
a.sum()
a.sum(axis=0)
a.sum(axis=1, keepdims=True)
a.sum(axis=(0, 1))
a.sum(0)
t.sum(axis=0, exclude=True)
i.sum()
u.sum()
a.mean()
a.mean(axis=1)
i.mean()
a.prod(axis=0)
a.nansum()
a.max()
a.max(axis=1)
a.min(axis=0)
a.argmax(axis=1)
a.argmin(axis=0)
a.argmax()
a.argmax_channel()
a.norm()
a.norm(ord=1, axis=1)
a.norm(axis=0, keepdims=True)
b.sort()
b.sort(axis=0, is_ascend=False)
b.argsort()
b.argsort(axis=1, is_ascend=False)
b.topk()
b.topk(k=2)
b.topk(k=2, ret_typ='value')
b.topk(k=2, ret_typ='both')
b.topk(k=2, ret_typ='mask')
b.topk(k=1, axis=0, is_ascend=True)
a.clip(2, 5)
a.abs()
a.sign()
(a * 0.3).round()
(a * 0.3).rint()
(a * 0.3).fix()
(a * 0.3).floor()
(a * 0.3).ceil()
(a * 0.3).trunc()
a.sin()
a.cos()
a.tan()
(a / 10).arcsin()
(a / 10).arccos()
a.arctan()
a.degrees()
a.radians()
a.sinh()
a.cosh()
a.tanh()
a.arcsinh()
a.arccosh()
(a / 10).arctanh()
a.exp()
a.expm1()
a.log()
a.log10()
a.log2()
a.log1p()
a.sqrt()
a.rsqrt()
a.cbrt()
a.rcbrt()
a.square()
a.reciprocal()
a.relu()
a.sigmoid()
a.softmax()
a.softmax(axis=0)
a.log_softmax()
a.softmin()
a.one_hot(depth=7)
a.split(num_outputs=3, axis=1)
a.split_v2(3, axis=1)
t.split_v2((1, 2), axis=1)
a.swapaxes(0, 1)
mx.nd.gamma(a)
mx.nd.gammaln(a)
mx.nd.erf(a)
mx.nd.softsign(a)
mx.nd.smooth_l1(a, scalar=1.0)
mx.nd.linalg.gemm2(a, b, transpose_b=True)
mx.nd.linalg.gemm(a, b, mx.nd.ones((2, 2)), transpose_b=True, alpha=2.0, beta=3.0)
mx.nd.linalg.syrk(a)
mx.nd.linalg.potrf(mx.nd.array([[4, 2], [2, 3]]))
mx.nd.linalg.trsm(mx.nd.array([[2, 0], [1, 1]]), a)
mx.nd.linalg.sumlogdiag(mx.nd.array([[4, 2], [2, 3]]))
mx.nd.linalg_gemm2(a, b, transpose_b=True)
mx.nd.contrib.arange_like(a)
mx.nd.op.sum(a)
mx.nd._internal._plus_scalar(a, scalar=1)
mx.nd._internal._mul(a, b)
""".strip().splitlines()

FAILURES = """
mx.nd.array([1, 2]).nosuch
mx.nd.zeros((-1, 2))
mx.nd.zeros('x')
mx.nd.zeros((2, 2), dtype='nosuch')
mx.nd.reshape(a, shape=(4, 4))
mx.nd.FullyConnected(a, b, num_hidden=2)
mx.nd.FullyConnected(a, b, no_bias=True)
mx.nd.FullyConnected(a, b, no_bias=True, num_hidden='x')
mx.nd.Convolution(a, kernel=(3, 3), num_filter=2)
mx.nd.transpose(t, axes=(0, 0, 1))
mx.nd.load('/nosuch/file')
mx.nd.save('/nosuch/dir/file', a)
mx.nd.save('x', 5)
a.attach_grad('nosuch')
a.backward()
mx.cpu(0) == mx.cpu(1)
mx.Context('nosuch', 0)
mx.Context('cpu', 1)
mx.Context(mx.cpu(2))
str(mx.cpu(1))
mx.nd.concat(a, b, dim=5)
mx.nd.concat()
mx.nd.stack()
mx.nd.swapaxes(a, 0, 5)
mx.nd.expand_dims(a, axis=7)
mx.nd.topk(a, k=9)
mx.nd.split(a, num_outputs=4, axis=1)
mx.nd.slice(a, begin=(0, 0, 0), end=(1, 1, 1))
mx.nd.take(a, mx.nd.array([0]), axis=4)
mx.nd.one_hot(mx.nd.array([1]))
mx.nd.batch_dot(a, b)
mx.nd.BatchNorm(a)
""".strip().splitlines()

SPARSE = """
c
r
c.stype
r.stype
c.shape
c.dtype
c.ndim
c.data
c.indices
c.indptr
r.data
r.indices
c.size
c.asscalar()
len(c)
bool(c)
repr(c)
repr(r)
c[1]
c[-1]
c[0:2]
c[1:3]
c[:]
c[::2]
c[:, 1:2]
c[0, 1]
c[None]
r[:]
r[1]
r[0:2]
c.reshape((2, 6))
r.reshape((2, 6))
c.astype('float64')
c.astype('int32').data
r.astype('float16')
c.copy()
r.copy()
c.T
c.sum()
c.sum(axis=0)
c.sum(axis=1)
c.sum(axis=1, keepdims=True)
r.sum(axis=0)
c.mean()
c.mean(axis=0)
mx.nd.norm(c)
c.max()
abs(-c)
-r
c == c
c == 0
c != 0
r > 0
c < 1
c >= 0
c.as_in_context(mx.cpu(1))
c.copyto(mx.nd.zeros((4, 3)))
r.copyto(mx.nd.zeros((4, 3)))
x = mx.nd.zeros((4, 3), stype='csr'); w.copyto(x); x
c.copyto(mx.nd.zeros((4, 3), stype='csr'))
c.copyto(r)
r.copyto(mx.nd.zeros((3, 3)))
c.tostype('row_sparse')
r.tostype('csr')
c.tostype('default')
r.tostype('row_sparse')
c.tostype('nosuch')
mx.nd.cast_storage(c, 'default')
mx.nd.cast_storage(w, stype='csr')
mx.nd.cast_storage(w, stype='row_sparse')
v.tostype('csr')
v.tostype('row_sparse')
t.tostype('row_sparse')
t.tostype('csr')
mx.nd.sparse.csr_matrix((3, 4))
mx.nd.sparse.csr_matrix(dense)
mx.nd.sparse.csr_matrix(dense, dtype='float64')
mx.nd.sparse.csr_matrix(dense.astype('float64'))
mx.nd.sparse.csr_matrix(([1, 2, 3], [1, 0, 2], [0, 1, 1, 3, 3]), shape=(4, 3))
mx.nd.sparse.csr_matrix(([1, 2, 3], [1, 0, 2], [0, 1, 1, 3, 3]))
mx.nd.sparse.csr_matrix(([1, 2, 3], ([0, 2, 2], [1, 0, 2])), shape=(4, 3))
mx.nd.sparse.csr_matrix(([1., 2, 3], ([0, 2, 2], [1, 0, 2])), dtype='float32')
mx.nd.sparse.csr_matrix((np.array([1, 2], 'float32'), ([1, 0], [0, 2])))
mx.nd.sparse.csr_matrix(c)
mx.nd.sparse.csr_matrix(w)
mx.nd.sparse.csr_matrix([[1, 0], [0, 2]])
mx.nd.sparse.csr_matrix(([1, 2, 3], [1, 0, 2], [0, 1, 1, 3, 3]), shape=(4, 3), dtype='int64')
mx.nd.sparse.csr_matrix(('a',), shape=(4, 3))
mx.nd.sparse.csr_matrix(r)
mx.nd.sparse.csr_matrix(v)
mx.nd.sparse.row_sparse_array((3, 4))
mx.nd.sparse.row_sparse_array(dense)
mx.nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [0, 2]), shape=(4, 2))
mx.nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [0, 2]))
mx.nd.sparse.row_sparse_array((mx.nd.array([[1, 2]]), mx.nd.array([1], dtype='int64')), shape=(3, 2))
mx.nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [2, 0]), shape=(4, 2)).asnumpy()
mx.nd.sparse.row_sparse_array(([[1, 2], [3, 4]], [0, 2]), shape=(4, 3))
mx.nd.sparse.row_sparse_array(r)
mx.nd.sparse.row_sparse_array(c)
mx.nd.sparse.row_sparse_array((2, 3, 4)).shape
mx.nd.sparse.array(c)
mx.nd.sparse.array(r)
mx.nd.sparse.array(dense)
mx.nd.array(c)
mx.nd.array(r, dtype='float64')
mx.nd.sparse.zeros('csr', (2, 2))
mx.nd.sparse.zeros('row_sparse', (2, 2)).indices
mx.nd.sparse.zeros('csr', (2, 2)).indptr
mx.nd.sparse.zeros('default', (2, 2))
mx.nd.sparse.zeros('nosuch', (2, 2))
mx.nd.sparse.empty('csr', (2, 2)).shape
mx.nd.zeros((2, 2), stype='csr')
mx.nd.zeros((2, 2), stype='row_sparse')
mx.nd.empty((2, 2), stype='csr').stype
mx.nd.zeros_like(c)
mx.nd.ones_like(c)
mx.nd.sparse.retain(r, mx.nd.array([0, 1]))
mx.nd.sparse.retain(r, mx.nd.array([2])).indices
mx.nd.dot(c, mx.nd.ones((3, 2)))
mx.nd.dot(c, w.T)
mx.nd.dot(c, w, transpose_a=True)
mx.nd.dot(c, w, transpose_a=True, forward_stype='default')
mx.nd.dot(c, mx.nd.ones((3, 2)).tostype('row_sparse'))
mx.nd.dot(c, r, transpose_a=True)
mx.nd.dot(mx.nd.ones((2, 4)), c)
mx.nd.dot(w, c, transpose_b=True)
mx.nd.dot(c, mx.nd.ones((4, 2)))
mx.nd.sparse.dot(c, mx.nd.ones((3, 2)))
mx.nd.sparse.dot(mx.nd.ones((2, 3)), mx.nd.ones((3, 2)))
mx.nd.sparse.sqrt(c)
mx.nd.sparse.cos(c)
mx.nd.sparse.square(r)
mx.nd.sparse.clip(r, 0, 1)
mx.nd.clip(r, 1, 2)
mx.nd.sparse.where(c, mx.nd.ones((4, 3)), mx.nd.zeros((4, 3)))
mx.nd.concat(c, c, dim=0)
mx.nd.concat(c, c, dim=1)
mx.nd.sparse.add_n(r, r, r)
mx.nd.add_n(c, r)
mx.nd.sparse.FullyConnected(c, mx.nd.ones((2, 3)), mx.nd.ones((2,)), num_hidden=2)
mx.nd.sparse.Embedding(mx.nd.array([0, 2]), r, input_dim=4, output_dim=3)
mx.nd.slice(c, begin=(1,), end=(3,))
mx.nd.slice(c, begin=(1, 0), end=(3, 2))
mx.nd.slice_axis(c, axis=0, begin=1, end=3)
mx.nd.take(c, mx.nd.array([2, 0]))
c.check_format()
r.check_format()
mx.nd.sparse.csr_matrix(([1], [5], [0, 1]), shape=(1, 3)).check_format()
mx.nd.sparse.csr_matrix(([1, 2], [1, 0], [0, 2]), shape=(1, 3)).check_format()
mx.nd.sparse.csr_matrix(([1, 2], [0, 1], [0, 1]), shape=(1, 3)).check_format()
mx.nd.sparse.row_sparse_array(([[1., 2]], [5]), shape=(3, 2)).check_format()
mx.nd.sparse.row_sparse_array(([[1., 2], [2, 3]], [2, 0]), shape=(3, 2)).check_format()
c.detach()
c.attach_grad(); c.grad.stype
r.attach_grad(); r.grad.stype
w.attach_grad(stype='row_sparse'); w.grad.stype
import pickle; pickle.loads(pickle.dumps(c))
import pickle; pickle.loads(pickle.dumps(r))
c * v
c * mx.nd.ones((4, 1))
c + v
c / v
c + c
c - c
c * c
c * w
r + r
r - r
r * r
r * w
w * r
w + r
r + c
c * 2
2 * r
r / 2
2 / (r + 1)
r + 1
1 - c
mx.nd.add(r, r)
mx.nd.sparse.add(r, r)
mx.nd.sparse.subtract(c, c)
mx.nd.sparse.multiply(r, 3)
mx.nd.sparse.divide(c, 2)
mx.nd.elemwise_add(r, r)
mx.nd.elemwise_add(c, c)
mx.nd.elemwise_mul(w, r)
mx.nd.elemwise_sub(r, w)
r.zeros_like()
c.square()
c.abs()
c[:] = 0; c
c[:] = w; c
c[:] = r; c
c[:] = np.eye(4, 3); c
c[0] = 1
r[:] = 1; r
r[:] = 0; r
r[:] = w; r
r[:] = np.eye(4, 3); r
r[0] = 1
w[:] = c; w
w[:] = r; w
w[0:2] = c[0:2]; w
c += c; c
c *= 2; c
r *= 2; r
r += r; r
r -= r; r
r /= 2; r
r += w; r
r += 1; r
w += r; w
w += c; w
r.data[:] = 5; r
c.data[:] = 5; c
mx.nd.elemwise_add(r, r, out=r); r
mx.nd.elemwise_add(r, r, out=w); w
mx.nd.dot(c, mx.nd.ones((3, 3)), out=w); w
mx.nd.sgd_update(w, r, out=w, lr=0.1); w
mx.nd.sgd_update(w, r, out=w, lr=0.1, wd=0.1); w
mx.nd.sgd_update(w, r, out=w, lr=0.1, wd=0.1, lazy_update=False); w
m = mx.nd.ones((4, 3)); mx.nd.sgd_mom_update(w, r, m, out=w, lr=0.1, momentum=0.9, wd=0.1); [w, m]
m = mx.nd.ones((4, 3)); n = mx.nd.ones((4, 3)); mx.nd.adam_update(w, r, m, n, out=w, lr=0.1); [w, m, n]
z = mx.nd.ones((4, 3)); n = mx.nd.ones((4, 3)); mx.nd.ftrl_update(w, r, z, n, out=w, lr=0.1); [w, z, n]
z = mx.nd.ones((4, 3)); mx.nd.sparse.adagrad_update(w, r, z, out=w, lr=0.1); [w, z]
""".strip().splitlines()


LAYERS = """
mx.nd.LeakyReLU(t - 12, mx.nd.array([[.5, .25, 2], [4, 8, 0]]), act_type='prelu')
mx.nd.LeakyReLU(t - 12, mx.nd.array([.5, .25, 2]), act_type='prelu')
mx.nd.LeakyReLU(a - 3, mx.nd.array([.5, 4]), act_type='prelu')
mx.nd.LeakyReLU(a - 3, mx.nd.array([[.5], [4]]), act_type='prelu')
mx.nd.LeakyReLU(v - 2, v, act_type='prelu')
mx.nd.LeakyReLU(a, mx.nd.array([1, 2, 3, 4]), act_type='prelu')
p = [mx.nd.array([1, 2]) for _ in range(4)]; mx.nd.BatchNorm(w[:, :2], *p, eps=2, output_mean_var=True)
mx.nd.dot(mx.nd.array(t.asnumpy().T), mx.nd.ones((4, 2)), transpose_a=True)
""".strip().splitlines()


GROUPS = {
    "creation": CREATION,
    "arithmetic": ARITHMETIC,
    "indexing": INDEXING,
    "shapes": SHAPES,
    "methods": METHODS,
    "failures": FAILURES,
    "sparse": SPARSE,
    "layers": LAYERS,
}


def answer(case, mx, np):
    """What a case gives, as data: values with their kind, or the classes that what it raises belongs to."""
    space = {"mx": mx, "np": np}
    exec(PRELUDE, space)
    *statements, last = case.split("; ")
    try:
        for statement in statements:
            exec(statement, space)
        if "=" in last.replace("==", "").replace("!=", "").replace(">=", "").replace("<=", "").split("(")[0]:
            exec(last, space)
            return {"is": "nothing"}
        return described(eval(last, space), mx, np)
    except Exception as e:
        return {"raises": [k.__name__ for k in type(e).__mro__], "says": str(e)[:200]}


def described(value, mx, np):
    if isinstance(value, mx.nd.NDArray):
        array = value.asnumpy()
        return {
            "is": value.stype,
            "dtype": np.dtype(value.dtype).name,
            "shape": list(array.shape),
            "values": [str(x) for x in array.reshape(-1).tolist()],
        }
    if isinstance(value, np.ndarray):
        return {"is": "numpy", "dtype": value.dtype.name, "shape": list(value.shape),
                "values": [str(x) for x in value.reshape(-1).tolist()]}  # fmt: skip
    if isinstance(value, (list, tuple)) and any(isinstance(x, mx.nd.NDArray) for x in value):
        return {"is": "list", "of": [described(x, mx, np) for x in value]}
    if isinstance(value, type):
        return {"is": "type", "value": value.__name__}
    if callable(value):
        return {"is": "function"}
    if isinstance(value, np.generic):
        return {"is": type(value).__name__, "value": repr(value.item())}
    return {"is": type(value).__name__, "value": repr(value)}
