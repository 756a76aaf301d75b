"""Ways to make and to ask symbols, whose answers are compared with MXNet's; see `tests/ndarray/cases.py`."""

PRELUDE = """
V = mx.sym.Variable
a, b = V('a'), V('b')
fc = mx.sym.FullyConnected(a, num_hidden=3, name='fc')
"""

CASES = """
a+b
a+1
1-a
a/2
2/a
a**2
2**a
a%2
2%a
-a
abs(a)
a==b
a>1
1>a
mx.sym.split(a,num_outputs=2)
mx.sym.split(a,num_outputs=2)[1]
mx.sym.split(a,num_outputs=2,name='s')['s_output1']
mx.sym.split(a,num_outputs=2,name='s')['s_output5']
mx.sym.linalg.gemm2(a,b)
mx.sym.linalg_gemm2(a,b)
mx.sym.RNN(a,state_size=3,num_layers=1,mode='lstm')
mx.sym.RNN(a,state_size=3,num_layers=1,mode='lstm',state_outputs=True)
mx.sym.RNN(a,state_size=3,num_layers=1,mode='gru',state_outputs=True,name='r')
mx.sym.FullyConnected(a,num_hidden=3)
mx.sym.FullyConnected(data=a,weight=b,num_hidden=3,no_bias=True)
mx.sym.FullyConnected(a,num_hidden=3,attr={'mood':'angry'},lr_mult=2)
mx.sym.Convolution(a,kernel=(3,3),num_filter=2)
mx.sym.BatchNorm(a)
mx.sym.BatchNorm(a).list_auxiliary_states()
mx.sym.SoftmaxOutput(a)
mx.sym.SoftmaxOutput(a,name='softmax')
mx.sym.Concat(a,b)
mx.sym.concat(a,b,dim=0)
mx.sym.Concat(*[a,b],name='cc')
mx.sym.add_n(a,b)
mx.sym.stack(a,b)
mx.sym.Group([a,b])
mx.sym.Group([a,mx.sym.split(b,num_outputs=2)])
mx.sym.zeros((2,3))
mx.sym.ones((2,3))
mx.sym.arange(5)
mx.sym.full((2,),3)
mx.sym.eye(3)
mx.sym.maximum(a,b)
mx.sym.maximum(a,2)
mx.sym.minimum(2,a)
mx.sym.pow(a,b)
mx.sym.pow(2,a)
mx.sym.hypot(a,b)
mx.sym.sum(a,axis=1)
a.sum(axis=1)
a.reshape((2,3))
a.reshape(shape=(2,3))
a.transpose()
a.astype('float16')
a.slice_axis(axis=0,begin=0,end=1)
a.softmax()
a.split(num_outputs=2,axis=1)
mx.sym.Reshape(a,shape=(0,-1))
mx.sym.Cast(a,dtype='float64')
mx.sym.elemwise_add(a,b)
mx.sym.broadcast_add(a,b)
mx.sym.dot(a,b)
mx.sym.Activation(a,act_type='relu')
mx.sym.LeakyReLU(a,act_type='prelu')
mx.sym.Dropout(a,p=0.5)
mx.sym.Embedding(a,input_dim=3,output_dim=2)
mx.sym.Pooling(a,kernel=(2,2),pool_type='max')
mx.sym.Deconvolution(a,kernel=(2,2),num_filter=2)
mx.sym.LayerNorm(a)
mx.sym.CTCLoss(a,b)
mx.sym.topk(a,k=2,ret_typ='both')
mx.sym.norm(a)
mx.sym.where(a,b,b)
mx.sym.one_hot(a,depth=3)
mx.sym.take(a,b)
mx.sym.pick(a,b)
mx.sym.SequenceMask(a)
mx.sym.SequenceMask(a,b,use_sequence_length=True)
mx.sym.SliceChannel(a,num_outputs=3,squeeze_axis=True,name='sl')
mx.sym.UpSampling(a,scale=2,sample_type='nearest')
mx.sym.LinearRegressionOutput(a)
mx.sym.MakeLoss(a)
mx.sym.BlockGrad(a)
mx.sym.contrib.ctc_loss(a,b)
mx.sym.random.uniform()
mx.sym.sin(a)
mx.sym.square(a,name='sq')
mx.sym.op.square(a)
mx.sym._internal._plus_scalar(a,scalar=1)
mx.sym.var('x',shape=(2,3),lr_mult=2,wd_mult=0.5,dtype='float16',init=mx.init.Zero())
mx.sym.var('x',foo='bar')
mx.sym.var('x',__foo__='bar')
mx.sym.var('x',attr={'a':'b'}).attr('a')
mx.sym.var('x',attr={'__lr_mult__':'3'}).attr('lr_mult')
mx.sym.var('x',lr_mult=3).attr('lr_mult')
mx.sym.var('x',lr_mult=3).attr('__lr_mult__')
mx.sym.var('x',lr_mult=3).list_attr()
mx.sym.var('x',stype='row_sparse').list_attr()
mx.sym.var(3)
mx.sym.FullyConnected(a,num_hidden=3,name='fc').attr_dict()
mx.sym.FullyConnected(a,num_hidden=3,name='fc',attr={'mood':'x'}).attr_dict()
mx.sym.FullyConnected(a,num_hidden=3,name='fc').attr('num_hidden')
mx.sym.FullyConnected(a,num_hidden=3,name='fc').attr('nosuch')
mx.sym.FullyConnected(a,num_hidden=3,name='fc')['fc_weight']
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals().list_outputs()
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals()['fc_weight']
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals()['fc']
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals()['fc_output']
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals()[2]
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_internals()[-1]
mx.sym.FullyConnected(a,num_hidden=3,name='fc').get_children()
a.get_children()
(a+b).get_children()
(a+b)[0]
(a+b)[1]
len(mx.sym.split(a,num_outputs=2))
[x.name for x in mx.sym.split(a,num_outputs=2,name='q')]
(a+b)(a=V('c'))
(a+b)(V('c'),V('d'))
(a+b)(V('c'),b=V('d'))
(a+b)(nosuch=V('c'))
(a+b)(a=V('c'),name='new')
mx.sym.FullyConnected(num_hidden=3,name='fc')
mx.sym.FullyConnected(num_hidden=3,name='fc')(data=V('z'),name='fz')
mx.sym.FullyConnected(a,b,V('c'),num_hidden=3).list_arguments()
mx.sym.FullyConnected(a)
mx.sym.FullyConnected(a,num_hidden='x')
mx.sym.FullyConnected(a,num_hidden=3,nosuch=1)
mx.sym.FullyConnected(3,num_hidden=3)
mx.sym.FullyConnected(mx.sym.split(a,num_outputs=2),num_hidden=3)
mx.sym.nosuch(a)
a+'x'
a+None
bool(a)
a and b
(a+b).infer_shape(a=(2,3))
(a+b).infer_shape(a=(2,3),b=(2,3))
(a+b).infer_shape((2,3))
(a+b).infer_shape((2,3),(2,3))
(a+b).infer_shape(a=(2,3),b=(3,3))
(a+b).infer_shape()
(a+b).infer_shape_partial(a=(2,3))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape(a=(5,4))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape(fc_weight=(3,4))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape_partial(fc_weight=(3,4))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape(a=(5,0))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape(nosuch=(5,0))
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_shape(a='x')
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_type(a='float64')
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_type()
mx.sym.FullyConnected(a,num_hidden=3,name='fc').infer_type('float16')
mx.sym.Cast(a,dtype='float64').infer_type(a='float32')
(a+b).infer_type(a='float64')
(a+b).infer_type(a='float64',b='float32')
mx.sym.BatchNorm(a,name='bn').infer_shape(a=(2,3,4,4))
mx.sym.BatchNorm(a,name='bn').infer_type(a='float16')
mx.sym.Convolution(a,kernel=(3,3),num_filter=2,name='c').infer_shape(a=(1,3,8,8))
mx.sym.var('x',shape=(2,3)).infer_shape()
mx.sym.FullyConnected(mx.sym.var('x',shape=(2,3)),num_hidden=3,name='fc').infer_shape()
mx.sym.SoftmaxOutput(a,name='s').infer_shape(a=(5,4))
mx.sym.RNN(a,state_size=3,num_layers=2,mode='lstm',name='r',state_outputs=True).infer_shape(a=(5,2,4))
repr(a)
repr(a+b)
repr(mx.sym.Group([a,b]))
str(a)
a.name
mx.sym.Group([a,b]).name
a.list_inputs()
(a+b).eval(a=mx.nd.ones((2,)),b=mx.nd.ones((2,)))
(a+b).eval(ctx=mx.cpu(),a=mx.nd.ones((2,)))
a.attr('name')
mx.sym.load_json('{}')
mx.sym.load_json('garbage')
mx.sym.load('/nosuch')
a.asnumpy()
a.wait_to_read()
a.detach()
a.backward()
a.as_in_context(mx.cpu())
a.copy()
a is a
mx.sym.Variable('x').list_attr(recursive=True)
mx.sym.Variable('x',init='zeros')
mx.sym.sum(a,b)
mx.sym.sum(data=a,axis=1)
mx.sym.sum(axis=1)
mx.sym.identity(a)
mx.sym.Flatten(a)
mx.sym.flatten(a)
mx.sym.SwapAxis(a,dim1=0,dim2=1)
mx.sym.ElementWiseSum(a,b,name='ews')
mx.sym.batch_dot(a,b)
mx.sym.L2Normalization(a)
mx.sym.LRN(a,nsize=3)
mx.sym.InstanceNorm(a)
mx.sym.Pad(a,mode='constant',pad_width=(0,0,0,0,1,1,1,1))
mx.sym.ROIPooling(a,b,pooled_size=(2,2),spatial_scale=1)
mx.sym.Crop(a,b,num_args=2)
mx.sym.softmax_cross_entropy(a,b)
mx.sym.smooth_l1(a,scalar=1)
mx.sym.sgd_update(a,b,lr=0.1)
mx.sym.SVMOutput(a)
mx.sym.IdentityAttachKLSparseReg(a)
mx.sym.GridGenerator(a,transform_type='affine',target_shape=(2,2))
mx.sym.BilinearSampler(a,b)
mx.sym.SpatialTransformer(a,b,target_shape=(2,2),transform_type='affine',sampler_type='bilinear')
mx.sym.Correlation(a,b)
mx.sym.cast_storage(a,stype='csr')
mx.sym.sparse.dot(a,b)
mx.sym.linalg.potrf(a)
mx.sym.load_json((a+b).tojson()).list_outputs()
mx.sym.linspace(0, 1, 5).eval()
mx.sym.linspace(0, 1, 5, endpoint=False).eval()
mx.sym.linspace(2, 3, 1).eval()
mx.sym.linspace(0, 1, 5).name
mx.sym.histogram(a, bins=3, range=(0, 6)).eval(a=mx.nd.array([1, 2, 1, 4]))
mx.sym.histogram(a, b).eval(a=mx.nd.array([1, 2, 1, 4]), b=mx.nd.array([0, 2, 4]))
mx.sym.zeros((2, 3)).eval()
mx.sym.arange(1, 4).eval()
mx.sym.full((2,), 3).eval()
mx.sym.eye(2).eval()
mx.sym.maximum(a, 2).eval(a=mx.nd.array([1, 3]))
mx.sym.pow(2, a).eval(a=mx.nd.array([1, 3]))
mx.sym.load_json(fc.tojson()).attr_dict()
""".strip().splitlines()

# several statements; the last one's value is the answer
BLOCKS = [
    """
with mx.AttrScope(mood='x', ctx_group='d', __foo__='y'):
    d = V('d')
[d.list_attr(), d.attr('mood'), d.attr('ctx_group'), d.attr('foo'), d.attr('__foo__')]
""",
    """
with mx.AttrScope(ctx_group='d', __foo__='y', lr_mult='3'):
    s = mx.sym.FullyConnected(V('d'), num_hidden=3, name='f')
[s.attr_dict(), s.attr('ctx_group'), s.attr('__ctx_group__'), s.attr('foo')]
""",
    """
d = V('data', attr={'mood': 'angry'})
s = mx.sym.Convolution(data=d, name='conv', kernel=(1, 1), num_filter=1, attr={'__mood__': 'so so', 'wd_mult': 'x'})
[s.list_attr(), s.attr_dict(), d.attr('__mood__'), d.list_attr()]
""",
    """
d = V('data', attr={'mood': 'angry'})
s = mx.sym.Convolution(data=d, name='conv', kernel=(1, 1), num_filter=1, attr={'__mood__': 'so so'}, lr_mult=1)
s.attr_dict()
""",
    """
d = V('d')
d._set_attr(mood='q', __x__='3')
[d.list_attr(), d.attr('mood')]
""",
    """
with mx.name.Prefix('p_'):
    s, t = mx.sym.FullyConnected(V('d'), num_hidden=3), mx.sym.FullyConnected(V('e'), num_hidden=3, name='z')
[s.list_arguments(), t.list_arguments(), s.name, t.name]
""",
    """
with mx.AttrScope(a='1'):
    with mx.AttrScope(b='2', a='3'):
        v = V('q')
    w = V('w')
[v.list_attr(), w.list_attr()]
""",
    """
mx.sym.BatchNorm(V('d'), name='bn').attr_dict()
""",
    """
s = mx.sym.FullyConnected(V('d'), weight=V('w', lr_mult=4), num_hidden=3, name='f')
[s.attr_dict(), s.list_attr()]
""",
    """
mx.AttrScope(a=1)
""",
    """
mx.sym.FullyConnected(V('d'), num_hidden=3, name='f', weight_lr_mult=2.0)
""",
    """
with mx.AttrScope(__group__='4'):
    s = V('a') + V('b')
s.list_attr()
""",
    """
import pickle
with mx.AttrScope(__group__='4', __data__='great'):
    s = mx.sym.Activation(V('data'), act_type='relu')
t = pickle.loads(pickle.dumps(s))
[t.tojson() == s.tojson(), t.attr('__data__')]
""",
    """
import copy
s = mx.sym.FullyConnected(V('d'), num_hidden=3, name='f')
t = copy.deepcopy(s)
t._set_attr(__x__='1')
[s.list_attr(), t.list_attr()]
""",
    """
net = mx.sym.FullyConnected(V('data'), num_hidden=4, name='fc1')
net = mx.sym.FullyConnected(net, num_hidden=2, name='fc2')
other = mx.sym.FullyConnected(V('data2'), num_hidden=3, name='fc3')
other = mx.sym.Activation(other, act_type='relu')
other = mx.sym.FullyConnected(other, num_hidden=20, name='fc4')
made = other(data2=net, name='composed')
multi = mx.sym.Group([made, net])
[made.name, made.list_arguments(), multi.list_outputs(), len(multi), multi[1].list_outputs()]
""",
    """
net = mx.sym.FullyConnected(V('data'), num_hidden=4, name='fc1')
net = mx.sym.FullyConnected(net, num_hidden=2, name='fc2')
inner = net.get_internals()
[inner.list_outputs(), inner['fc1_output'].list_arguments(), net.get_children().list_outputs(),
 net.get_children().get_children().list_outputs()]
""",
    """
s = mx.sym.split(V('a'), num_outputs=3, name='s')
x, y, z = s
[x.name, y.list_outputs(), (x + z).list_arguments(), s[1].list_outputs(), s['s_output2'].list_outputs()]
""",
    """
net = mx.sym.SoftmaxOutput(mx.sym.FullyConnected(V('data'), num_hidden=10, name='fc'), name='softmax')
[net.list_arguments(), net.infer_shape(data=(32, 100)), net.infer_shape(softmax_label=(32,)),
 net.infer_shape_partial(data=(0, 100))]
""",
    """
whole = [net + mx.sym.ones(shape) for net, shape in [
    (a.reshape((0, -1)), (2, 75)), (a.reshape((-3, -1)), (6, 25)), (a.reshape((5, 3, 0, -1), reverse=True), (5, 3, 5, 2)),
]]
[net.infer_shape(a=shape) for net in whole for shape in [(0, 3, 5, 5), (2, 0, 5, 5), (2, 3, 5, 0), (2, 3, 5, 5)]]
""",
    """
remainder = mx.sym.broadcast_mod(mx.sym.cast(a, dtype='int32'), mx.sym.cast(b, dtype='int32'))
e = remainder.bind(mx.cpu(), [mx.nd.array([7, 8, -9]), mx.nd.array([2, 5, 4])], [mx.nd.ones(3), mx.nd.ones(3)])
e.forward(is_train=True)
e.backward(mx.nd.array([1, 2, 3], dtype='int32'))
[x.asnumpy().tolist() for x in e.outputs + e.grad_arrays]
""",
    """
(a * 2).simple_bind(mx.cpu(), a=(2, 3), axis=1, mode='clip').arg_dict['a'].shape
""",
    """
x = mx.sym.RNN(V('x'), V('p'), V('s'), state_size=4, num_layers=1, mode='gru', name='r')
x.infer_shape(x=(5, 2, 3))
""",
    """
conv = mx.sym.Convolution(V('data'), kernel=(3, 3), stride=(2, 2), num_filter=32, name='conv')
bn = mx.sym.BatchNorm(conv, name='bn')
pool = mx.sym.Pooling(mx.sym.Activation(bn, act_type='relu', name='relu'), global_pool=True, kernel=(7, 7), pool_type='avg')
net = mx.sym.FullyConnected(mx.sym.Flatten(pool), num_hidden=10, name='fc')
[net.list_arguments(), net.list_auxiliary_states(), net.infer_shape(data=(2, 3, 28, 28)), net.infer_type(data='float32')]
""",
]


def answer(case, mx, np):
    """What a case gives, as data."""
    space = {"mx": mx, "np": np}
    lines = case.strip().splitlines()
    try:
        with mx.name.NameManager():
            exec(PRELUDE, space)
            last = next(i for i in reversed(range(len(lines))) if not lines[i].startswith(" "))
            exec("\n".join(lines[:last]), space)
            return described(eval("\n".join(lines[last:]), space), mx, np)
    except Exception as e:
        return {"raises": [k.__name__ for k in type(e).__mro__], "says": str(e)[:200]}


def described(value, mx, np):
    if isinstance(value, mx.sym.Symbol):
        return {
            "symbol": value.name,
            "arguments": value.list_arguments(),
            "outputs": value.list_outputs(),
            "states": value.list_auxiliary_states(),
            "attrs": value.list_attr() if value.name else {},
        }
    if isinstance(value, mx.nd.NDArray):
        return {"array": value.asnumpy().tolist()}
    if isinstance(value, (list, tuple)):
        return [described(v, mx, np) for v in value]
    if isinstance(value, dict):
        return {k: described(v, mx, np) for k, v in value.items()}
    if isinstance(value, type):
        return value.__name__
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


# files of MXNet 0.8, 0.9, 0.11 and 1.0, written by hand: parameters under `param`, `attr` or `attrs`, states not among
# the inputs, attributes of variables on their operator
OLD_FILES = {
    "0.8": """{"nodes": [
 {"op": "null", "param": {}, "name": "data", "inputs": [], "backward_source_id": -1},
 {"op": "null", "param": {}, "name": "conv_weight", "inputs": [], "backward_source_id": -1, "attr": {"lr_mult": "2"}},
 {"op": "Convolution", "param": {"kernel": "(3,3)", "num_filter": "4", "no_bias": "True", "num_group": "1",
  "pad": "(1,1)", "stride": "(1,1)", "dilate": "(1,1)", "workspace": "1024"}, "name": "conv",
  "inputs": [[0, 0], [1, 0]], "backward_source_id": -1},
 {"op": "null", "param": {}, "name": "bn_gamma", "inputs": [], "backward_source_id": -1},
 {"op": "null", "param": {}, "name": "bn_beta", "inputs": [], "backward_source_id": -1},
 {"op": "BatchNorm", "param": {"eps": "0.001", "fix_gamma": "False", "momentum": "0.9"}, "name": "bn",
  "inputs": [[2, 0], [3, 0], [4, 0]], "backward_source_id": -1, "attr": {"ctx_group": "dev1"}},
 {"op": "Activation", "param": {"act_type": "relu"}, "name": "relu", "inputs": [[5, 0]], "backward_source_id": -1},
 {"op": "Flatten", "param": {}, "name": "flat", "inputs": [[6, 0]], "backward_source_id": -1},
 {"op": "null", "param": {}, "name": "softmax_label", "inputs": [], "backward_source_id": -1},
 {"op": "SoftmaxOutput", "param": {"grad_scale": "1"}, "name": "softmax", "inputs": [[7, 0], [8, 0]],
  "backward_source_id": -1}], "arg_nodes": [0, 1, 3, 4, 8], "heads": [[9, 0]]}""",
    "0.9": """{"nodes": [
 {"op": "null", "name": "data", "inputs": []},
 {"op": "null", "name": "fc1_weight", "attr": {"num_hidden": "8", "__lr_mult__": "0.5"}, "inputs": []},
 {"op": "null", "name": "fc1_bias", "attr": {"num_hidden": "8"}, "inputs": []},
 {"op": "FullyConnected", "name": "fc1", "attr": {"num_hidden": "8"}, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]},
 {"op": "SliceChannel", "name": "s", "attr": {"num_outputs": "2", "axis": "1"}, "inputs": [[3, 0, 0]]},
 {"op": "elemwise_add", "name": "plus", "inputs": [[4, 0, 0], [4, 1, 0]]}],
 "arg_nodes": [0, 1, 2], "node_row_ptr": [0, 1, 2, 3, 4, 6, 7], "heads": [[5, 0, 0]],
 "attrs": {"mxnet_version": ["int", 905]}}""",
    "0.11": """{"nodes": [
 {"op": "null", "name": "data", "inputs": []},
 {"op": "null", "name": "bn_gamma", "attr": {"eps": "0.001"}, "inputs": []},
 {"op": "null", "name": "bn_beta", "attr": {"eps": "0.001"}, "inputs": []},
 {"op": "null", "name": "bn_moving_mean", "attr": {"__init__": "[\\"zero\\", {}]"}, "inputs": []},
 {"op": "null", "name": "bn_moving_var", "attr": {"__init__": "[\\"one\\", {}]"}, "inputs": []},
 {"op": "BatchNorm", "name": "bn", "attr": {"eps": "0.001", "__ctx_group__": "a"},
  "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 1], [4, 0, 1]]},
 {"op": "_mul_scalar", "name": "m", "attr": {"scalar": "2"}, "inputs": [[5, 0, 0]]}],
 "arg_nodes": [0, 1, 2, 3, 4], "node_row_ptr": [0, 1, 2, 3, 4, 5, 8, 9], "heads": [[6, 0, 0]],
 "attrs": {"mxnet_version": ["int", 1100]}}""",
    "1.0": """{"nodes": [
 {"op": "null", "name": "a", "attrs": {"__shape__": "(2, 3)", "__dtype__": "0"}, "inputs": []},
 {"op": "null", "name": "w", "inputs": []},
 {"op": "FullyConnected", "name": "fc", "attrs": {"no_bias": "True", "num_hidden": "4"},
  "inputs": [[0, 0, 0], [1, 0, 0]]},
 {"op": "Activation", "name": "act", "attrs": {"act_type": "tanh"}, "inputs": [[2, 0, 0]]},
 {"op": "Reshape", "name": "r", "attrs": {"shape": "(-1,)"}, "inputs": [[3, 0, 0]]}],
 "arg_nodes": [0, 1], "node_row_ptr": [0, 1, 2, 3, 4, 5], "heads": [[4, 0, 0], [3, 0, 0]],
 "attrs": {"mxnet_version": ["int", 10000]}}""",
}
for _version, _text in OLD_FILES.items():
    BLOCKS.append(f"""
s = mx.sym.load_json({_text!r})  # a file of MXNet {_version}
shape = {{}} if 'a' in s.list_arguments() else {{'data': (2, 3, 8, 8)}}
[s, s.attr_dict(), s.infer_shape(**shape), s.get_internals().list_outputs()]
""")
