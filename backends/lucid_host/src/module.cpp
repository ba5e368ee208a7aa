// The Python module `lucid_host._native`: it takes arrays through the buffer protocol, and gives up the interpreter's lock
// while it calculates.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "block.h"
#include "gather.h"

#include <stdint.h>
#include <string.h>

typedef void (*BlockFunction)(Block &);

// Several instruction sets, the best one first.
#if defined(__x86_64__)
extern "C" void lucid_block_avx512(Block &);
extern "C" void lucid_block_avx2(Block &);

static BlockFunction best(const char **name)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        *name = "AVX-512";
        return lucid_block_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        *name = "AVX2";
        return lucid_block_avx2;
    }
    return nullptr;
}
#else
extern "C" void lucid_block(Block &);

static BlockFunction best(const char **name)
{
    *name = "the compiler's default";
    return lucid_block;
}
#endif

static BlockFunction chosen;

enum { NUMBERS = 7, OPERANDS = 5, RESULTS = 2 };

// The buffers of a call, given back whatever happens
struct Buffers {
    Py_buffer views[OPERANDS + RESULTS];
    int used = 0;

    ~Buffers()
    {
        while (used) PyBuffer_Release(&views[--used]);
    }
};

// Find the distance between neighbours in the order of C, in bytes, if it is the same everywhere
static bool find_stride(const Py_buffer &view, Py_ssize_t &stride)
{
    Py_ssize_t row = 0; // the stride that the next axis to the left must have
    bool found = false;
    stride = view.itemsize;
    for (int axis = view.ndim - 1; axis >= 0; axis--) {
        if (view.shape[axis] == 1) continue;
        if (found && view.strides[axis] != row) return false;
        if (!found) stride = view.strides[axis];
        found = true;
        row = view.strides[axis] * view.shape[axis];
    }
    return true;
}

// 1 if the object can be worked on as it is, 0 if not, -1 with an exception
static int take(PyObject *object, Buffers &buffers, bool result, Py_ssize_t size, Operand &operand)
{
    operand = Operand{nullptr, 1, 1.0, 0};
    if (object == Py_None) return 1;
    if (PyFloat_Check(object)) {
        operand.number = PyFloat_AsDouble(object);
        return 1;
    }
    Py_buffer &view = buffers.views[buffers.used];
    const int flags = PyBUF_FORMAT | (result ? PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS : PyBUF_STRIDES);
    if (PyObject_GetBuffer(object, &view, flags) < 0) {
        // a result that is not contiguous, or a dtype that has no letter
        if (!PyErr_ExceptionMatches(PyExc_BufferError) && !PyErr_ExceptionMatches(PyExc_ValueError)) return -1;
        PyErr_Clear();
        return 0;
    }
    buffers.used++;
    const char *format = view.format ? view.format : "B";
    if (strlen(format) != 1 || !strchr("?bBhHiIlLqQefd", format[0])) return 0;
    Py_ssize_t stride;
    if (!find_stride(view, stride)) return 0;
    if ((uintptr_t)view.buf % (uintptr_t)view.itemsize || stride % view.itemsize) return 0;
    if (size >= 0 && view.len != size * view.itemsize) {
        PyErr_SetString(PyExc_ValueError, "the arrays are of different sizes");
        return -1;
    }
    operand.data = view.buf;
    operand.stride = stride / view.itemsize;
    operand.kind = format[0];
    return 1;
}

PyDoc_STRVAR(run_doc,
"run(logits, add, input, target, weight, pos_weight, upstream, losses, slopes, ignored, by_weight, numbers)\n--\n\n"
"Work on one block; return (sum, lost, count, lost), or None if an array's elements are not evenly spaced, aligned and of a known dtype.\n\n"
"`numbers` are (divisor, most, eps, lowest, smoothing). See `Block` in block.h.");

static PyObject *run(PyObject *, PyObject *const *arguments, Py_ssize_t number)
{
    if (number != 12) return PyErr_Format(PyExc_TypeError, "run takes 12 arguments, not %zd", number);
    Block b = {};
    Buffers buffers;
    b.logits = PyObject_IsTrue(arguments[0]);
    b.add = PyObject_IsTrue(arguments[1]);
    Operand *const operands[] = {&b.x, &b.y, &b.w, &b.v, &b.upstream};
    Py_ssize_t size = -1;
    for (int i = 0; i < OPERANDS; i++) {
        const int found = take(arguments[2 + i], buffers, false, size, *operands[i]);
        if (found < 0) return nullptr;
        if (!found || (i < 2 && !operands[i]->data)) Py_RETURN_NONE;
        if (i == 0) size = buffers.views[0].len / buffers.views[0].itemsize;
    }
    if (!strchr("efd", b.x.kind)) Py_RETURN_NONE;
    void **const results[] = {&b.losses, &b.slopes};
    for (int i = 0; i < RESULTS; i++) {
        Operand result;
        const int found = take(arguments[2 + OPERANDS + i], buffers, true, size, result);
        if (found < 0) return nullptr;
        if (!found || (result.data && result.kind != b.x.kind)) Py_RETURN_NONE;
        *results[i] = (void *)result.data;
    }
    b.ignores = arguments[9] != Py_None;
    if (b.ignores) b.ignored = PyFloat_AsDouble(arguments[9]);
    b.by_weight = PyObject_IsTrue(arguments[10]);
    if (!PyArg_ParseTuple(arguments[11], "ddddd", &b.divisor, &b.most, &b.eps, &b.lowest, &b.smoothing)) return nullptr;
    if (PyErr_Occurred()) return nullptr;
    b.size = (size_t)size;
    if (size < 4096) {
        chosen(b);
    } else {
        Py_BEGIN_ALLOW_THREADS
        chosen(b);
        Py_END_ALLOW_THREADS
    }
    return Py_BuildValue("dddd", b.sum, b.sum_lost, b.count, b.count_lost);
}

PyDoc_STRVAR(copy_doc,
"copy(source, target)\n--\n\n"
"Copy an array's elements into a contiguous one of the same dtype and size; return whether that was possible.");

static PyObject *copy(PyObject *, PyObject *const *arguments, Py_ssize_t number)
{
    if (number != 2) return PyErr_Format(PyExc_TypeError, "copy takes 2 arguments, not %zd", number);
    Buffers buffers;
    Operand target;
    const int found = take(arguments[1], buffers, true, -1, target);
    if (found <= 0) return found ? nullptr : PyBool_FromLong(0);
    Py_buffer &to = buffers.views[0], &from = buffers.views[1];
    if (PyObject_GetBuffer(arguments[0], &from, PyBUF_STRIDES | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); // a dtype that has no letter
        return PyBool_FromLong(0);
    }
    buffers.used++;
    Layout layout = {(const char *)from.buf, from.ndim, {}, {}};
    bool aligned = from.ndim > 0 && from.ndim <= AXES && (uintptr_t)from.buf % (uintptr_t)from.itemsize == 0;
    for (int k = 0; aligned && k < from.ndim; k++) {
        layout.shape[k] = from.shape[k];
        layout.strides[k] = from.strides[k];
        aligned = from.strides[k] % from.itemsize == 0;
    }
    if (!aligned || from.len != to.len || !from.format || from.format[0] != target.kind || from.format[1])
        return PyBool_FromLong(0);
    Py_BEGIN_ALLOW_THREADS
    switch (from.len ? from.itemsize : 0) {
    case 1: gather<uint8_t>(layout, to.buf); break;
    case 2: gather<uint16_t>(layout, to.buf); break;
    case 4: gather<uint32_t>(layout, to.buf); break;
    case 8: gather<uint64_t>(layout, to.buf); break;
    }
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(1);
}

static PyMethodDef methods[] = {
    {"run", (PyCFunction)(void (*)(void))run, METH_FASTCALL, run_doc},
    {"copy", (PyCFunction)(void (*)(void))copy, METH_FASTCALL, copy_doc},
    {nullptr, nullptr, 0, nullptr},
};

static int execute(PyObject *module)
{
    const char *name = nullptr;
    chosen = best(&name);
    if (!chosen) {
        PyErr_SetString(PyExc_ImportError, "this processor has neither AVX-512 nor AVX2 with FMA");
        return -1;
    }
    return PyModule_AddStringConstant(module, "instructions", name);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)execute},
    {0, nullptr},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The losses on contiguous host memory.", 0, methods, slots, nullptr, nullptr, nullptr,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
