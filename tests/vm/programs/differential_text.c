/* SPDX-License-Identifier: MIT */
/*
 * Operations and results of a differential test as text that reads like the calls they are: p0..p3
 * are the processes, a0..a3 the areas, m0..m4 the mappings of a process.
 */
#define _GNU_SOURCE 1
#include "differential.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

static const char *prot_text(int prot, char text[40])
{
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC))
		snprintf(text, 40, "%#x", (unsigned)prot);
	else
		snprintf(text, 40, "%s%s%s%s", prot & PROT_READ ? "R" : "",
			prot & PROT_WRITE ? "W" : "", prot & PROT_EXEC ? "X" : "",
			prot ? "" : "NONE");
	return text;
}

static const char *name_text(const struct op *op, char text[80])
{
	const char *name = trace_names[op->other];

	if (!name)
		return "NULL";
	if (strlen(name) < 30)
		snprintf(text, 80, "\"%s\"", name);
	else
		snprintf(text, 80, "\"%.16s...\" /* %zu bytes */", name, strlen(name));
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	return text;
}

static const char *flags_text(int flags, char text[60])
{
	static const char *const kinds[] = {"0", "SHARED", "PRIVATE", "SHARED_VALIDATE"};

	if (flags & ~3)
		snprintf(text, 60, "%s|%#x", kinds[flags & 3], (unsigned)flags & ~3u);
	else
		snprintf(text, 60, "%s", kinds[flags & 3]);
	return text;
}

static const char *whence_text(int whence, char text[40])
{
	static const char *const names[] = {
		"SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE"};

	if (whence < 0 || whence > 4)
		snprintf(text, 40, "%d", whence);
	else
		snprintf(text, 40, "%s", names[whence]);
	return text;
}

static const char *buffer_text(const struct op *op)
{
	static const char *const buffers[] = {"buf", "NULL", "bad", "buf /* the half of it */"};

	return buffers[op->other & 3];
}

static const char *range_text(const struct op *op, char text[80])
{
	snprintf(text, 80, "a%d, %" PRIu64 ", %" PRIu64, op->area, op->offset, op->length);
	return text;
}

/* Operations on mappings and processes; false for others. */
static int describe_outside(const struct op *op, char *text, size_t size)
{
	char a[60], b[60];

	switch (op->kind) {
	case MAP:
		snprintf(text, size, "ashmem_map(a%d, %" PRIu64 ", %" PRIu64 ", %s, %s%s, &m%d)",
			op->area, op->offset, op->length, prot_text(op->prot, a),
			flags_text(op->flags, b),
			op->seed == PLACE_FIXED           ? "|FIXED"
				: op->seed == PLACE_TAKEN ? "|FIXED_NOREPLACE /* taken */"
							  : "",
			op->other);
		return 1;
	case UNMAP:
		snprintf(text, size, "ashmem_unmap(%s)",
			op->flags == 1           ? "NULL, ..."
				: op->flags == 2 ? "misaligned, ..."
				: op->flags == 3 ? "mapping, 0"
						 : "mapping");
		snprintf(text + strlen(text), size - strlen(text), " /* m%d */", op->other);
		return 1;
	case PROTECT:
		snprintf(text, size, "mprotect(m%d, %s) and back", op->other,
			prot_text(op->prot, a));
		return 1;
	case WRITE:
		snprintf(text, size, "write m%d + %" PRIu64 ", %" PRIu64 " bytes", op->other,
			op->offset, op->length);
		return 1;
	case LOOK:
		snprintf(text, size, "read m%d + %" PRIu64 ", %" PRIu64 " bytes", op->other,
			op->offset, op->length);
		return 1;
	case TRANSFER:
		snprintf(text, size, "ashmem_send(a%d) to p%d, which calls ashmem_recv()", op->area,
			op->other);
		return 1;
	case FORK:
		snprintf(text, size, "fork: p%d", op->other);
		return 1;
	case EXIT:
		snprintf(text, size, "_exit(0)");
		return 1;
	case PERSONALITY:
		snprintf(text, size, "personality(%s)", op->flags ? "READ_IMPLIES_EXEC" : "0");
		return 1;
	default:
		return 0;
	}
}

static void describe_call(const struct op *op, char *text, size_t size)
{
	char a[80];

	switch (op->kind) {
	case CREATE:
		snprintf(text, size, "ashmem_create(%s, %" PRIu64 ", %d, &a%d)", name_text(op, a),
			op->offset, op->flags, op->area);
		break;
	case SET_NAME:
		snprintf(text, size, "ashmem_set_name(a%d, %s)", op->area, name_text(op, a));
		break;
	case GET_NAME:
		snprintf(text, size, "ashmem_get_name(a%d, buf, %" PRIu64 ")", op->area,
			op->length);
		break;
	case SET_SIZE:
		snprintf(text, size, "ashmem_set_size(a%d, %" PRIu64 ")", op->area, op->offset);
		break;
	case SET_PROT:
		snprintf(text, size, "ashmem_set_prot(a%d, %s)", op->area, prot_text(op->prot, a));
		break;
	case READ:
		snprintf(text, size, "ashmem_read(a%d, %s, %" PRIu64 ")", op->area, buffer_text(op),
			op->length);
		break;
	case PREAD:
		snprintf(text, size, "ashmem_pread(a%d, %s, %" PRIu64 ", %" PRIu64 ")", op->area,
			buffer_text(op), op->length, op->offset);
		break;
	case SEEK:
	case SEEK_DATA_HOLE:
		snprintf(text, size, "ashmem_seek(a%d, %" PRId64 ", %s)", op->area,
			(int64_t)op->offset, whence_text(op->prot, a));
		if (op->kind == SEEK_DATA_HOLE)
			snprintf(text + strlen(text), size - strlen(text),
				" and ashmem_seek(a%d, %" PRIu64 ", SEEK_SET)", op->area,
				op->length);
		break;
	default:
		snprintf(text, size, "?");
		break;
	}
}

static void describe_range_call(const struct op *op, char *text, size_t size)
{
	static const char *const simple[KINDS] = {
		[CLOSE] = "ashmem_close",
		[GET_SIZE] = "ashmem_get_size",
		[GET_PROT] = "ashmem_get_prot",
		[GET_FD] = "ashmem_fd",
		[IMPORT] = "import the fd of",
		[STATUS_EACH] = "status of each page of",
		[PIN_EACH] = "pin each page of",
	};
	char a[80];

	if (op->kind == PIN || op->kind == UNPIN || op->kind == STATUS)
		snprintf(text, size, "ashmem_%s(%s)",
			op->kind == PIN             ? "pin"
				: op->kind == UNPIN ? "unpin"
						    : "get_pin_status",
			range_text(op, a));
	else if (op->kind == PURGE_ALL)
		snprintf(text, size, "ashmem_purge_all()");
	else if (op->kind == SHRINK)
		snprintf(text, size, "ashmem_shrink(%" PRIu64 ")", op->length);
	else if (op->kind == SHRINK_COUNT)
		snprintf(text, size, "ashmem_shrink_count()");
	else if (simple[op->kind])
		snprintf(text, size, "%s(a%d)", simple[op->kind], op->area);
	else
		describe_call(op, text, size);
}

void op_describe(const struct op *op, char *text, size_t text_size)
{
	size_t used = (size_t)snprintf(text, text_size, "p%d  ", op->actor);

	if (!describe_outside(op, text + used, text_size - used))
		describe_range_call(op, text + used, text_size - used);
}

void result_describe(const struct result *result, char *text, size_t text_size)
{
	static const char *const none[] = {
		"nothing to act on", "not modelled", "left out", "not reached"};
	int64_t value = result->value;

	if (value >= NOT_THERE && value <= NOT_REACHED)
		snprintf(text, text_size, "(%s)", none[value - NOT_THERE]);
	else if (value <= SIGNALLED(1) && value >= SIGNALLED(64))
		snprintf(text, text_size, "signal %" PRId64, -value - (1 << 20));
	else if (value < 0 && value > -200)
		snprintf(text, text_size, "%" PRId64 " (%s)", value, strerror((int)-value));
	else
		snprintf(text, text_size, "%" PRId64, value);
	if (result->data)
		snprintf(text + strlen(text), text_size - strlen(text), ", data %" PRIx64,
			result->data);
}
