/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * kqueue: what Python's select module has on the BSDs, select.kqueue and
 * select.kevent with their constants, as a module of its own for Linux.
 *
 * Only Python's stable interface (PEP 384) and <sys/event.h> are used, so a
 * module that is built once serves every Python from 3.10 on.
 *
 * What Python's manual promises and <sys/event.h> does not: a wait that a
 * signal handler interrupts goes on for the rest of its time (PEP 475), a
 * timeout is rounded up, a queue that is closed raises ValueError, and in a
 * forked child its parent's queues are closed ones.
 */
#define Py_LIMITED_API 0x030A0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <sys/event.h>

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S	1000000000LL

struct queue {
	PyObject_HEAD
	int		fd;	/* -1: closed */
	struct queue	*next;	/* in state.open, while fd is not -1 */
	struct queue	**link;
};

struct event {
	PyObject_HEAD
	struct kevent	ke;
};

/* The module's, one for each interpreter; its lock guards it. */
struct state {
	PyTypeObject	*queue_type;
	PyTypeObject	*event_type;
	struct queue	*open;	/* what a forked child is to forget */
};

static struct state *
state_of(PyTypeObject *type)
{
	return PyType_GetModuleState(type);
}

/* kevent */

/* An int is itself, whatever it counts; anything else is an open file. */
static bool
event_ident(PyObject *from, uintptr_t *ident)
{
	if (PyLong_Check(from)) {
		*ident = PyLong_AsUnsignedLong(from);
		return *ident != ULONG_MAX || !PyErr_Occurred();
	}
	int fd = PyObject_AsFileDescriptor(from);
	*ident = (uintptr_t)fd;
	return fd >= 0;
}

static int
event_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "ident", "filter", "flags", "fflags", "data", "udata", NULL };
	struct event *event = (struct event *)self;
	PyObject *ident;
	short filter = EVFILT_READ;
	unsigned short flags = EV_ADD;
	unsigned int fflags = 0;
	long long data = 0;
	unsigned long udata = 0;
	uintptr_t number;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|hHILk:kevent", names,
	    &ident, &filter, &flags, &fflags, &data, &udata))
		return -1;
	if (!event_ident(ident, &number))
		return -1;
	EV_SET(&event->ke, number, filter, flags, fflags, data, (void *)udata);
	return 0;
}

static void
event_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_Free(self);
	Py_DECREF(type);
}

static PyObject *
event_from(struct state *state, const struct kevent *ke)
{
	PyObject *self = PyType_GenericAlloc(state->event_type, 0);

	if (self != NULL)
		((struct event *)self)->ke = *ke;
	return self;
}

static PyObject *
event_repr(PyObject *self)
{
	const struct kevent *ke = &((struct event *)self)->ke;

	char text[160];

	snprintf(text, sizeof(text), "<select.kevent ident=%ju filter=%d flags=0x%x fflags=0x%x data=0x%jx udata=0x%jx>",
	    (uintmax_t)ke->ident, ke->filter, ke->flags, ke->fflags, (uintmax_t)ke->data, (uintmax_t)(uintptr_t)ke->udata);
	return PyUnicode_FromString(text);
}

#define ORDER(a, b)	(((a) > (b)) - ((a) < (b)))

static int
event_order(const struct kevent *a, const struct kevent *b)
{
	int order = ORDER(a->ident, b->ident);

	if (order == 0)
		order = ORDER(a->filter, b->filter);
	if (order == 0)
		order = ORDER(a->flags, b->flags);
	if (order == 0)
		order = ORDER(a->fflags, b->fflags);
	if (order == 0)
		order = ORDER(a->data, b->data);
	if (order == 0)
		order = ORDER((uintptr_t)a->udata, (uintptr_t)b->udata);
	return order;
}

static PyObject *
event_compare(PyObject *self, PyObject *other, int op)
{
	struct state *state = state_of(Py_TYPE(self));
	bool result = false;

	if (state == NULL)
		return NULL;
	if (!Py_IS_TYPE(other, state->event_type))
		Py_RETURN_NOTIMPLEMENTED;
	int order = event_order(&((struct event *)self)->ke, &((struct event *)other)->ke);
	switch (op) {
	case Py_EQ:	result = order == 0; break;
	case Py_NE:	result = order != 0; break;
	case Py_LT:	result = order < 0; break;
	case Py_LE:	result = order <= 0; break;
	case Py_GT:	result = order > 0; break;
	case Py_GE:	result = order >= 0; break;
	}
	return PyBool_FromLong(result);
}

_Static_assert(sizeof(uintptr_t) == sizeof(unsigned long), "ident and udata are T_ULONG");
_Static_assert(sizeof(int64_t) == sizeof(long long), "data is T_LONGLONG");

#define MEMBER(name, type, doc)	{ #name, type, offsetof(struct event, ke.name), 0, doc }
static PyMemberDef event_members[] = {
	MEMBER(ident, T_ULONG, "what is watched: a descriptor, process, signal, ..."),
	MEMBER(filter, T_SHORT, "how it is watched: KQ_FILTER_..."),
	MEMBER(flags, T_USHORT, "what to do, and what happened: KQ_EV_..."),
	MEMBER(fflags, T_UINT, "the filter's own flags: KQ_NOTE_..."),
	MEMBER(data, T_LONGLONG, "the filter's own number"),
	MEMBER(udata, T_ULONG, "the program's own number"),
	{ .name = NULL }
};

static PyType_Slot event_slots[] = {
	{ Py_tp_doc, "kevent(ident, filter=KQ_FILTER_READ, flags=KQ_EV_ADD, fflags=0, data=0, udata=0)\n\n"
	    "A change to a queue's registrations, or an event.\n"
	    "ident is a number, or an object with a fileno() method." },
	{ Py_tp_init, event_init },
	{ Py_tp_new, PyType_GenericNew },
	{ Py_tp_dealloc, event_dealloc },
	{ Py_tp_repr, event_repr },
	{ Py_tp_richcompare, event_compare },
	{ Py_tp_members, event_members },
	{ 0, NULL }
};

static PyType_Spec event_spec = {
	.name = "select.kevent",
	.basicsize = sizeof(struct event),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = event_slots,
};

/* kqueue */

static PyObject *
queue_from(PyTypeObject *type, int fd)
{
	struct state *state = state_of(type);

	if (state == NULL)
		return NULL;
	struct queue *queue = (struct queue *)PyType_GenericAlloc(type, 0);
	if (queue == NULL)
		return NULL;
	queue->fd = fd;
	queue->link = &state->open;
	queue->next = state->open;
	if (queue->next != NULL)
		queue->next->link = &queue->next;
	state->open = queue;
	return (PyObject *)queue;
}

/* The descriptor is the caller's from now on. */
static int
queue_take(struct queue *queue)
{
	int fd = queue->fd;

	if (fd == -1)
		return -1;
	queue->fd = -1;
	*queue->link = queue->next;
	if (queue->next != NULL)
		queue->next->link = queue->link;
	return fd;
}

/*
 * In a module that was loaded with dlopen(3), close() is the C library's and
 * the queue does not notice it; naming its number to kevent() shows it.
 * Elsewhere that is one call in vain.
 */
static int
close_queue(int fd)
{
	struct timespec now = { 0, 0 };
	int error = close(fd) == 0 ? 0 : errno;

	kevent(fd, NULL, 0, NULL, 0, &now);
	return error;
}

static PyObject *
queue_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { NULL };
	int fd;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":kqueue", names))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	fd = kqueue();
	Py_END_ALLOW_THREADS
	if (fd == -1)
		return PyErr_SetFromErrno(PyExc_OSError);
	PyObject *self = queue_from(type, fd);
	if (self == NULL)
		close_queue(fd);
	return self;
}

static PyObject *
queue_fromfd(PyObject *type, PyObject *arg)
{
	long fd = PyLong_AsLong(arg);

	if (fd == -1 && PyErr_Occurred())
		return NULL;
	if (fd < 0 || fd > INT_MAX)
		return PyErr_Format(PyExc_ValueError, "not a descriptor: %ld", fd);
	return queue_from((PyTypeObject *)type, (int)fd);
}

static PyObject *
queue_close(PyObject *self, PyObject *unused)
{
	int fd = queue_take((struct queue *)self);
	int error = 0;

	(void)unused;
	if (fd != -1) {
		Py_BEGIN_ALLOW_THREADS
		error = close_queue(fd);
		Py_END_ALLOW_THREADS
	}
	if (error != 0) {
		errno = error;
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	Py_RETURN_NONE;
}

static void
queue_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	int fd = queue_take((struct queue *)self);

	if (fd != -1)
		close_queue(fd);
	PyObject_Free(self);
	Py_DECREF(type);
}

static bool
queue_is_open(const struct queue *queue)
{
	if (queue->fd != -1)
		return true;
	PyErr_SetString(PyExc_ValueError, "I/O operation on closed kqueue object");
	return false;
}

static PyObject *
queue_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (!queue_is_open((struct queue *)self))
		return NULL;
	return PyLong_FromLong(((struct queue *)self)->fd);
}

static PyObject *
queue_closed(PyObject *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(((struct queue *)self)->fd == -1);
}

static long long
nanoseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* How long to wait, rounded up; -1: for ever. */
static bool
timeout_from(PyObject *from, long long *timeout)
{
	*timeout = -1;
	if (from == Py_None)
		return true;
	double seconds = PyFloat_AsDouble(from);
	if (seconds == -1.0 && PyErr_Occurred())
		return false;
	if (!(seconds >= 0.0)) {
		PyErr_SetString(PyExc_ValueError, "timeout must be positive or None");
		return false;
	}
	/* Half of what fits, so that it can be added to the time of day. */
	if (seconds * (double)NS_PER_S >= (double)(LLONG_MAX / 2)) {
		PyErr_SetString(PyExc_OverflowError, "timeout is too large");
		return false;
	}
	*timeout = (long long)(seconds * (double)NS_PER_S);
	if ((double)*timeout < seconds * (double)NS_PER_S)
		++*timeout;
	return true;
}

/* The changes of any iterable, or of None; *count of them. */
static bool
changes_from(struct state *state, PyObject *from, struct kevent **changes, int *count)
{
	*changes = NULL;
	*count = 0;
	if (from == Py_None)
		return true;
	PyObject *list = PySequence_List(from);
	if (list == NULL)
		return false;
	Py_ssize_t size = PyList_Size(list);
	if (size > INT_MAX) {
		PyErr_SetString(PyExc_OverflowError, "changelist is too long");
		goto fail;
	}
	*changes = PyMem_Calloc((size_t)size, sizeof(**changes));
	if (*changes == NULL) {
		PyErr_NoMemory();
		goto fail;
	}
	for (Py_ssize_t i = 0; i < size; i++) {
		PyObject *event = PyList_GetItem(list, i);
		if (event == NULL)
			goto fail;
		if (!Py_IS_TYPE(event, state->event_type)) {
			PyErr_SetString(PyExc_TypeError, "changelist must be an iterable of select.kevent objects");
			goto fail;
		}
		(*changes)[i] = ((struct event *)event)->ke;
	}
	*count = (int)size;
	Py_DECREF(list);
	return true;
fail:
	PyMem_Free(*changes);
	*changes = NULL;
	Py_DECREF(list);
	return false;
}

/*
 * kevent() without Python's lock.  When a signal's handler has ended the wait,
 * Python's handler is run and the rest of the time waited; the changes have
 * been made by then.  Returns -1 with an exception.
 */
static int
wait_for(int fd, const struct kevent *changes, int nchanges, struct kevent *events, int nevents, long long timeout)
{
	long long end = timeout > 0 ? nanoseconds_now() + timeout : 0;

	for (;;) {
		struct timespec left = { (time_t)(timeout / NS_PER_S), (long)(timeout % NS_PER_S) };
		int n, error;

		Py_BEGIN_ALLOW_THREADS
		n = kevent(fd, changes, nchanges, events, nevents, timeout < 0 ? NULL : &left);
		error = errno;
		Py_END_ALLOW_THREADS
		if (n >= 0)
			return n;
		if (error != EINTR) {
			errno = error;
			PyErr_SetFromErrno(PyExc_OSError);
			return -1;
		}
		if (PyErr_CheckSignals() != 0)
			return -1;
		nchanges = 0;
		if (timeout >= 0) {
			timeout = timeout > 0 ? end - nanoseconds_now() : 0;
			if (timeout <= 0)
				return 0;
		}
	}
}

static PyObject *
list_of(struct state *state, const struct kevent *events, int count)
{
	PyObject *list = PyList_New(count);

	for (int i = 0; list != NULL && i < count; i++) {
		PyObject *event = event_from(state, &events[i]);
		if (event == NULL || PyList_SetItem(list, i, event) != 0)
			Py_CLEAR(list);
	}
	return list;
}

static PyObject *
queue_control(PyObject *self, PyObject *args)
{
	struct queue *queue = (struct queue *)self;
	struct state *state = state_of(Py_TYPE(self));
	PyObject *changelist, *timeout = Py_None, *result = NULL;
	struct kevent *changes, *events;
	int nchanges, nevents, n;
	long long wait;

	if (state == NULL || !queue_is_open(queue))
		return NULL;
	if (!PyArg_ParseTuple(args, "Oi|O:control", &changelist, &nevents, &timeout))
		return NULL;
	if (nevents < 0)
		return PyErr_Format(PyExc_ValueError, "max_events must be 0 or positive, not %d", nevents);
	if (!timeout_from(timeout, &wait))
		return NULL;
	if (!changes_from(state, changelist, &changes, &nchanges))
		return NULL;
	events = PyMem_Calloc((size_t)nevents, sizeof(*events));
	if (events == NULL) {
		PyErr_NoMemory();
	} else if (queue_is_open(queue)) {	/* an iterable may have closed it */
		n = wait_for(queue->fd, changes, nchanges, events, nevents, wait);
		if (n >= 0)
			result = list_of(state, events, n);
	}
	PyMem_Free(events);
	PyMem_Free(changes);
	return result;
}

static PyMethodDef queue_methods[] = {
	{ "control", queue_control, METH_VARARGS,
	    "control(changelist, max_events, timeout=None, /)\n\n"
	    "Makes the changes of an iterable of kevent objects, or None, then waits up to\n"
	    "timeout seconds (None: for ever) for at most max_events events: their list." },
	{ "close", queue_close, METH_NOARGS, "Closes the queue.  Further uses raise ValueError." },
	{ "fileno", queue_fileno, METH_NOARGS, "The queue's descriptor." },
	{ "fromfd", queue_fromfd, METH_O | METH_CLASS, "A kqueue object of a descriptor that is a queue." },
	{ NULL, NULL, 0, NULL }
};

static PyGetSetDef queue_attributes[] = {
	{ "closed", queue_closed, NULL, "True if the queue is closed.", NULL },
	{ NULL, NULL, NULL, NULL, NULL }
};

static PyType_Slot queue_slots[] = {
	{ Py_tp_doc, "kqueue()\n\nA new queue of events, closed in programs that this one executes and in forked children." },
	{ Py_tp_new, queue_new },
	{ Py_tp_dealloc, queue_dealloc },
	{ Py_tp_methods, queue_methods },
	{ Py_tp_getset, queue_attributes },
	{ 0, NULL }
};

static PyType_Spec queue_spec = {
	.name = "select.kqueue",
	.basicsize = sizeof(struct queue),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = queue_slots,
};

/* The module */

/*
 * The child has none of its parent's queues: the numbers are closed already,
 * or other files.
 */
static PyObject *
forget_queues(PyObject *self, PyObject *unused)
{
	struct state *state = PyModule_GetState(self);

	(void)unused;
	while (state != NULL && state->open != NULL)
		queue_take(state->open);
	Py_RETURN_NONE;
}

static PyMethodDef forget_queues_def = { "forget_queues", forget_queues, METH_NOARGS, NULL };

static bool
forget_queues_in_children(PyObject *self)
{
	PyObject *os = PyImport_ImportModule("os");
	PyObject *function = PyCFunction_New(&forget_queues_def, self);
	PyObject *registrar = os != NULL ? PyObject_GetAttrString(os, "register_at_fork") : NULL;
	PyObject *none = PyTuple_New(0);
	PyObject *kwargs = function != NULL ? Py_BuildValue("{sO}", "after_in_child", function) : NULL;
	PyObject *result = registrar != NULL && none != NULL && kwargs != NULL ?
	    PyObject_Call(registrar, none, kwargs) : NULL;
	bool done = result != NULL;

	Py_XDECREF(result);
	Py_XDECREF(kwargs);
	Py_XDECREF(none);
	Py_XDECREF(registrar);
	Py_XDECREF(function);
	Py_XDECREF(os);
	return done;
}

struct constant {
	const char	*name;
	long long	value;
};

#define FILTER(name)	{ "KQ_FILTER_" #name, EVFILT_ ## name }
#define EV(name)	{ "KQ_EV_" #name, EV_ ## name }
#define NOTE(name)	{ "KQ_NOTE_" #name, NOTE_ ## name }

static const struct constant constants[] = {
	/* Those that Python's manual lists. */
	FILTER(READ), FILTER(WRITE), FILTER(AIO), FILTER(VNODE), FILTER(PROC), FILTER(NETDEV), FILTER(SIGNAL),
	FILTER(TIMER),
	EV(ADD), EV(DELETE), EV(ENABLE), EV(DISABLE), EV(ONESHOT), EV(CLEAR), EV(SYSFLAGS), EV(FLAG1), EV(EOF),
	EV(ERROR),
	NOTE(LOWAT),
	NOTE(DELETE), NOTE(WRITE), NOTE(EXTEND), NOTE(ATTRIB), NOTE(LINK), NOTE(RENAME), NOTE(REVOKE),
	NOTE(EXIT), NOTE(FORK), NOTE(EXEC), NOTE(PCTRLMASK), NOTE(PDATAMASK), NOTE(TRACK), NOTE(CHILD), NOTE(TRACKERR),
	NOTE(LINKUP), NOTE(LINKDOWN), NOTE(LINKINV),

	/* And by the same rule those that it has no name for. */
	FILTER(EXCEPT), FILTER(EMPTY), FILTER(PROCDESC), FILTER(FS), FILTER(USER), FILTER(MEMORYSTATUS),
	EV(RECEIPT), EV(DISPATCH), EV(FORCEONESHOT), EV(KEEPUDATA), EV(UDATA_SPECIFIC), EV(DISPATCH2), EV(VANISHED),
	NOTE(FILE_POLL), NOTE(NOCOUNT), NOTE(OOB),
	NOTE(TRUNCATE), NOTE(OPEN), NOTE(CLOSE), NOTE(CLOSE_WRITE), NOTE(READ),
	NOTE(EXITSTATUS),
	NOTE(SECONDS), NOTE(MSECONDS), NOTE(USECONDS), NOTE(NSECONDS), NOTE(ABSTIME), NOTE(ABSOLUTE),
	NOTE(FFNOP), NOTE(FFAND), NOTE(FFOR), NOTE(FFCOPY), NOTE(FFCTRLMASK), NOTE(FFLAGSMASK), NOTE(TRIGGER),
	NOTE(MEMORYSTATUS_PRESSURE_NORMAL), NOTE(MEMORYSTATUS_PRESSURE_WARN), NOTE(MEMORYSTATUS_PRESSURE_CRITICAL),
	{ "KQ_VQ_MOUNT", VQ_MOUNT }, { "KQ_VQ_UNMOUNT", VQ_UNMOUNT },
};

static bool
add_constants(PyObject *self)
{
	for (size_t i = 0; i < sizeof(constants) / sizeof(constants[0]); i++) {
		PyObject *value = PyLong_FromLongLong(constants[i].value);
		bool added = value != NULL && PyModule_AddObjectRef(self, constants[i].name, value) == 0;
		Py_XDECREF(value);
		if (!added)
			return false;
	}
	return true;
}

static PyTypeObject *
add_type(PyObject *self, PyType_Spec *spec)
{
	PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(self, spec, NULL);

	if (type != NULL && PyModule_AddType(self, type) != 0)
		Py_CLEAR(type);
	return type;
}

static int
module_exec(PyObject *self)
{
	struct state *state = PyModule_GetState(self);

	state->event_type = add_type(self, &event_spec);
	state->queue_type = add_type(self, &queue_spec);
	if (state->event_type == NULL || state->queue_type == NULL)
		return -1;
	return add_constants(self) && forget_queues_in_children(self) ? 0 : -1;
}

static int
module_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct state *state = PyModule_GetState(self);

	Py_VISIT(state->event_type);
	Py_VISIT(state->queue_type);
	return 0;
}

static int
module_clear(PyObject *self)
{
	struct state *state = PyModule_GetState(self);

	Py_CLEAR(state->event_type);
	Py_CLEAR(state->queue_type);
	return 0;
}

static PyModuleDef_Slot module_slots[] = {
	{ Py_mod_exec, module_exec },
	{ 0, NULL }
};

static PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "kqueue",
	.m_doc = "kqueue(2) and kevent(2), with the names that the select module has for them on the BSDs.",
	.m_size = sizeof(struct state),
	.m_slots = module_slots,
	.m_traverse = module_traverse,
	.m_clear = module_clear,
};

PyMODINIT_FUNC	PyInit_kqueue(void);

PyMODINIT_FUNC
PyInit_kqueue(void)
{
	return PyModuleDef_Init(&module);
}
