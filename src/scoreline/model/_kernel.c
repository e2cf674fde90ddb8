/* The walk over flat trees: what `FlatTrees.predict_raw` does in numpy, one node after the other.
 *
 * It reads the arrays of `scoreline.model.trees` where they lie, in the mapped file, and trusts them:
 * `FlatTrees` has checked every index before they come here. Sums are added in the order of the trees,
 * so raw scores equal those of the numpy walk to the last bit.
 *
 * Limited API of Python 3.11: one build serves every later Python.
 */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file of trees is little-endian"
#endif

#define INLINE static inline __attribute__((always_inline))

/* Trees of one row, or rows of one tree, that are walked together: each step waits for memory, so that
 * eight of them wait at once. */
#define LANES 8
#define BLOCK_BYTES 16384   /* rows that are walked through one tree after the other: half a first-level cache */
#define FREE_GIL_FROM 20000 /* rows x trees: about a quarter of a millisecond. Below, handing over costs more */
#define ON_STACK 256        /* numbers of a row, two a column */

enum { LEAF = 1, CATEGORICAL = 2, SET_GOES_RIGHT = 4 };     /* flags of a node */
enum { NUMBER = 0, EXACT = 1, FLOORED = 2, TRUNCATED = 3 }; /* kinds of a column */

typedef struct {
    double value;   /* threshold; of a leaf its value or its vector's number; else its set's number */
    uint32_t child; /* the left one, the right one lies behind it; a leaf's is itself */
    uint16_t slot;  /* of a prepared row */
    uint16_t flags;
} Node; /* four to a cache line */

enum { NODES, ROOTS, GROUPS, VECTORS, SETS, SET_STARTS, KINDS, BASE, ARRAYS };

typedef struct {
    PyObject_HEAD
    Py_buffer held[ARRAYS];
    const Node *nodes;
    const uint32_t *roots, *groups, *sets, *set_starts;
    const double *vectors, *base;
    const uint8_t *kinds;
    Py_ssize_t trees, features, stride, outputs;
    double zero_below;
    int has_vectors, has_sets, inclusive, narrow_rows, narrow_sums, average;
} Trees;

/* ---- one step ---- */

/* A prepared row has two numbers a column, the value as it is and, behind it, the value with minus
 * infinity for a missing one. NaN fails every comparison and goes right, minus infinity holds every one
 * and goes left: a node's slot chooses, and the walk never asks what is missing. */

INLINE uint32_t by_set(const Trees *self, const Node *node, const double *row)
{
    double x = row[node->slot & ~1];
    if (x != x)
        return node->slot & 1;
    const uint32_t *start = self->set_starts + (uint32_t)node->value;
    uint32_t in_set = 0;
    if (x >= 0 && x < 32.0 * (start[1] - start[0])) {
        uint32_t code = (uint32_t)x;
        in_set = (self->sets[start[0] + (code >> 5)] >> (code & 31)) & 1;
    }
    return in_set ^ ((node->flags & SET_GOES_RIGHT) != 0);
}

INLINE uint32_t next_node(const Trees *self, const Node *node, const double *row, int inclusive, int sets)
{
    double x = row[node->slot];
    uint32_t left = inclusive ? x <= node->value : x < node->value;
    if (sets && node->flags & CATEGORICAL)
        left = by_set(self, node, row);
    return node->child + ((left ^ 1) & ~node->flags & LEAF);
}

/* Walk every lane from at[lane] to its leaf; lane l reads the row at rows + l * stride. */
INLINE void walk_lanes(const Trees *self, uint32_t *at, const double *rows, Py_ssize_t stride, int inclusive, int sets)
{
    const Node *nodes = self->nodes;
    uint32_t all_leaves;
    do {
        all_leaves = LEAF;
#pragma GCC unroll 8
        for (int lane = 0; lane < LANES; lane++) {
            const Node *node = nodes + at[lane];
            all_leaves &= node->flags;
            at[lane] = next_node(self, node, rows + lane * stride, inclusive, sets);
        }
    } while (!all_leaves);
}

INLINE void walk(const Trees *self, uint32_t *at, const double *rows, Py_ssize_t stride)
{
    if (self->has_sets)
        self->inclusive ? walk_lanes(self, at, rows, stride, 1, 1) : walk_lanes(self, at, rows, stride, 0, 1);
    else
        self->inclusive ? walk_lanes(self, at, rows, stride, 1, 0) : walk_lanes(self, at, rows, stride, 0, 0);
}

INLINE void add(const Trees *self, double *sum, double value)
{
    *sum = self->narrow_sums ? (double)(float)(*sum + value) : *sum + value;
}

INLINE void add_leaf(const Trees *self, Py_ssize_t tree, double value, double *sums)
{
    if (!self->has_vectors) {
        add(self, sums + self->groups[tree], value);
        return;
    }
    const double *vector = self->vectors + (size_t)value * (size_t)self->outputs;
    for (Py_ssize_t output = 0; output < self->outputs; output++)
        add(self, sums + output, vector[output]);
}

/* ---- one row through all trees, eight trees at a time ---- */

/* Ask memory for the first two lines of the next trees while these are walked: where caches are cold
 * that takes a fifth to a third off the time. */
INLINE void fetch_roots(const Trees *self, Py_ssize_t first)
{
    for (Py_ssize_t tree = first; tree < first + LANES && tree < self->trees; tree++) {
        const Node *root = self->nodes + self->roots[tree];
        __builtin_prefetch(root);
        __builtin_prefetch(root + 4);
    }
}

static void walk_row(const Trees *self, const double *row, double *sums)
{
    for (Py_ssize_t first = 0; first < self->trees; first += LANES) {
        Py_ssize_t count = self->trees - first < LANES ? self->trees - first : LANES;
        uint32_t at[LANES];
        for (int lane = 0; lane < LANES; lane++)
            at[lane] = self->roots[first + (lane < count ? lane : count - 1)];
        fetch_roots(self, first + LANES);
        walk(self, at, row, 0);
        for (Py_ssize_t lane = 0; lane < count; lane++)
            add_leaf(self, first + lane, self->nodes[at[lane]].value, sums);
    }
}

/* ---- a block of rows through one tree after the other, eight rows at a time ---- */

static void walk_block(const Trees *self, const double *rows, Py_ssize_t count, double *sums)
{
    for (Py_ssize_t tree = 0; tree < self->trees; tree++)
        for (Py_ssize_t first = 0; first < count; first += LANES) {
            /* the last lanes of a block may lie over the ones before them: each row is added only once */
            Py_ssize_t start = first + LANES <= count ? first : count - LANES;
            uint32_t at[LANES];
            for (int lane = 0; lane < LANES; lane++)
                at[lane] = self->roots[tree];
            walk(self, at, rows + start * self->stride, self->stride);
            for (Py_ssize_t lane = first - start; lane < LANES; lane++)
                add_leaf(self, tree, self->nodes[at[lane]].value, sums + (start + lane) * self->outputs);
        }
}

/* ---- rows as the estimator itself sees them ---- */

INLINE double as_code(double x, int kind)
{
    double code = kind == FLOORED ? floor(x) : trunc(x);
    if (!(code >= 0 && code < 2147483648.0) || (kind == EXACT && code != x))
        return x == x ? -1.0 : x; /* in no set; missing stays missing */
    return code;
}

static void prepare(const Trees *self, const double *from, Py_ssize_t rows, double *to)
{
    for (Py_ssize_t row = 0; row < rows; row++)
        for (Py_ssize_t column = 0; column < self->features; column++) {
            double x = *from++;
            if (self->zero_below > 0 && fabs(x) <= self->zero_below)
                x = 0;
            if (self->narrow_rows)
                x = (double)(float)x;
            if (self->kinds[column] != NUMBER)
                x = as_code(x, self->kinds[column]);
            *to++ = x;
            *to++ = x == x ? x : -INFINITY;
        }
}

static void finish(const Trees *self, double *sums, Py_ssize_t rows)
{
    if (self->average)
        for (Py_ssize_t index = 0; index < rows * self->outputs; index++)
            sums[index] /= (double)self->trees;
}

/* `prepared` has room for a block of rows. */
static void predict_rows(const Trees *self, const double *matrix, Py_ssize_t rows, Py_ssize_t block, double *prepared,
                         double *out)
{
    for (Py_ssize_t first = 0; first < rows; first += block) {
        Py_ssize_t count = rows - first < block ? rows - first : block;
        double *sums = out + first * self->outputs;
        prepare(self, matrix + first * self->features, count, prepared);
        for (Py_ssize_t row = 0; row < count; row++)
            memcpy(sums + row * self->outputs, self->base, sizeof(double) * (size_t)self->outputs);
        if (count >= LANES)
            walk_block(self, prepared, count, sums);
        else
            for (Py_ssize_t row = 0; row < count; row++)
                walk_row(self, prepared + row * self->stride, sums + row * self->outputs);
        finish(self, sums, count);
    }
}

/* ---- Python's side ---- */

static int predict_buffers(Trees *self, Py_buffer *matrix, Py_buffer *out)
{
    Py_ssize_t row_bytes = self->features * (Py_ssize_t)sizeof(double);
    Py_ssize_t rows = matrix->len / row_bytes;
    if (matrix->len % row_bytes || out->len != rows * self->outputs * (Py_ssize_t)sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "the matrix or the output is of another shape than the trees");
        return -1;
    }
    if ((uintptr_t)matrix->buf % sizeof(double) || (uintptr_t)out->buf % sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "the matrix or the output is not aligned");
        return -1;
    }
    Py_ssize_t block = BLOCK_BYTES / (2 * row_bytes);
    block = block < LANES ? LANES : block;
    Py_ssize_t numbers = (rows < block ? rows : block) * self->stride;
    double on_stack[ON_STACK];
    double *prepared = numbers <= ON_STACK ? on_stack : PyMem_Malloc(sizeof(double) * (size_t)numbers);
    if (!prepared) {
        PyErr_NoMemory();
        return -1;
    }
    if (rows > 1 && rows >= FREE_GIL_FROM / self->trees) {
        Py_BEGIN_ALLOW_THREADS
        predict_rows(self, matrix->buf, rows, block, prepared, out->buf);
        Py_END_ALLOW_THREADS
    } else
        predict_rows(self, matrix->buf, rows, block, prepared, out->buf);
    if (prepared != on_stack)
        PyMem_Free(prepared);
    return 0;
}

static PyObject *trees_predict(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
    Trees *self = (Trees *)object;
    Py_buffer matrix, out;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "predict(matrix, out)");
        return NULL;
    }
    if (PyObject_GetBuffer(arguments[0], &matrix, PyBUF_SIMPLE))
        return NULL;
    if (PyObject_GetBuffer(arguments[1], &out, PyBUF_WRITABLE)) {
        PyBuffer_Release(&matrix);
        return NULL;
    }
    int failed = predict_buffers(self, &matrix, &out);
    PyBuffer_Release(&out);
    PyBuffer_Release(&matrix);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static void trees_dealloc(PyObject *object)
{
    Trees *self = (Trees *)object;
    for (int index = 0; index < ARRAYS; index++)
        if (self->held[index].obj)
            PyBuffer_Release(&self->held[index]);
    PyTypeObject *type = Py_TYPE(object);
    freefunc free_it = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_it(object);
    Py_DECREF(type);
}

static int hold(Trees *self, int index, PyObject *array, size_t size)
{
    if (PyObject_GetBuffer(array, &self->held[index], PyBUF_SIMPLE))
        return -1;
    if ((uintptr_t)self->held[index].buf % (size < 8 ? size : 8) || self->held[index].len % (Py_ssize_t)size) {
        PyErr_SetString(PyExc_ValueError, "an array of the trees is not aligned, or of another type");
        return -1;
    }
    return 0;
}

static PyObject *trees_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"nodes", "roots", "groups", "vectors", "sets", "set_starts", "kinds", "base", "inclusive",
                            "float_width", "sum_width", "average", "zero_below", NULL};
    static const size_t sizes[ARRAYS] = {sizeof(Node), 4, 4, 8, 4, 4, 1, 8};
    PyObject *arrays[ARRAYS];
    int inclusive, float_width, sum_width, average;
    double zero_below;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "$OOOOOOOOpiipd", names, arrays, arrays + 1, arrays + 2,
                                     arrays + 3, arrays + 4, arrays + 5, arrays + 6, arrays + 7, &inclusive,
                                     &float_width, &sum_width, &average, &zero_below))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Trees *self = (Trees *)allocate(type, 0); /* all zero */
    if (!self)
        return NULL;
    for (int index = 0; index < ARRAYS; index++)
        if (hold(self, index, arrays[index], sizes[index])) {
            Py_DECREF((PyObject *)self);
            return NULL;
        }
    self->nodes = self->held[NODES].buf;
    self->roots = self->held[ROOTS].buf;
    self->groups = self->held[GROUPS].buf;
    self->vectors = self->held[VECTORS].buf;
    self->sets = self->held[SETS].buf;
    self->set_starts = self->held[SET_STARTS].buf;
    self->kinds = self->held[KINDS].buf;
    self->base = self->held[BASE].buf;
    self->trees = self->held[ROOTS].len / 4;
    self->features = self->held[KINDS].len;
    self->stride = 2 * self->features;
    self->outputs = self->held[BASE].len / 8;
    self->has_vectors = self->held[VECTORS].len > 0;
    self->has_sets = self->held[SET_STARTS].len > 4;
    self->inclusive = inclusive;
    self->narrow_rows = float_width == 32;
    self->narrow_sums = sum_width == 32;
    self->average = average;
    self->zero_below = zero_below;
    if (!self->trees || !self->features || !self->outputs) {
        PyErr_SetString(PyExc_ValueError, "no trees, no columns or no outputs");
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyMethodDef trees_methods[] = {
    {"predict", (PyCFunction)(void (*)(void))trees_predict, METH_FASTCALL,
     "predict(matrix, out): write the raw scores of float64 rows, C order, into a float64 array."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot trees_slots[] = {
    {Py_tp_doc, "The arrays of `FlatTrees`, which must have checked them: indices are followed as they are."},
    {Py_tp_new, trees_new},
    {Py_tp_dealloc, trees_dealloc},
    {Py_tp_methods, trees_methods},
    {0, NULL},
};

static PyType_Spec trees_spec = {
    .name = "scoreline.model._kernel.Trees",
    .basicsize = sizeof(Trees),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = trees_slots,
};

static int kernel_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &trees_spec, NULL);
    if (!type)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Trees", type);
    Py_DECREF(type);
    return failed || PyModule_AddIntConstant(module, "VERSION", 1);
}

static PyModuleDef_Slot kernel_slots[] = {{Py_mod_exec, kernel_exec}, {0, NULL}};

static struct PyModuleDef kernel_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "scoreline.model._kernel",
    .m_doc = "The walk over flat trees, in C.",
    .m_slots = kernel_slots,
};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&kernel_module); }
