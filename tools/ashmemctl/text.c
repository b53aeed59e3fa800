/* SPDX-License-Identifier: MIT */
/*
 * ashmemctl: printing. Other processes chose the names that are shown, so no byte of them reaches
 * the terminal unless it is part of a visible character.
 */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "ctl.h"

#define PROGRESS_AFTER_MS 300
#define PROGRESS_EACH_MS 100

void ctl_color_on(enum ctl_color color)
{
	static const char *const start[] = {"\033[1m", "\033[32m", "\033[33m", "\033[31m"};

	if (ctl.color)
		fputs(start[color], stdout);
}

void ctl_color_off(void)
{
	if (ctl.color)
		fputs("\033[0m", stdout);
}

/*
 * Characters that iswprint() and wcwidth() let through somewhere although they show nothing, or
 * change how what surrounds them is shown.
 */
static const struct {
	uint32_t first, last;
} invisible[] = {
	{0x00ad, 0x00ad},      /* soft hyphen */
	{0x034f, 0x034f},      /* combining grapheme joiner */
	{0x0600, 0x0605},      /* signs that span the numbers after them */
	{0x061c, 0x061c},      /* Arabic letter mark */
	{0x06dd, 0x06dd},      /* the same, around them */
	{0x070f, 0x070f},      /* Syriac abbreviation mark */
	{0x115f, 0x1160},      /* Hangul fillers */
	{0x17b4, 0x17b5},      /* Khmer inherent vowels */
	{0x180b, 0x180f},      /* Mongolian variation selectors and separator */
	{0x2000, 0x200f},      /* spaces, zero width, direction marks */
	{0x2028, 0x202f},      /* line and paragraph separators, bidirectional overrides */
	{0x205f, 0x206f},      /* bidirectional isolates, invisible operators */
	{0x2800, 0x2800},      /* empty Braille pattern */
	{0x3164, 0x3164},      /* Hangul filler */
	{0xd800, 0xf8ff},      /* surrogates, private use */
	{0xfe00, 0xfe0f},      /* variation selectors */
	{0xfeff, 0xfeff},      /* byte order mark */
	{0xffa0, 0xffa0},      /* Hangul filler, half width */
	{0xfff0, 0xffff},      /* interlinear annotation */
	{0x1bca0, 0x1bca3},    /* shorthand format controls */
	{0x1d173, 0x1d17a},    /* musical format controls */
	{0xe0000, 0xffffffff}, /* tags, more variation selectors, private use */
};

static int is_plain(wchar_t c)
{
	for (unsigned i = 0; i < sizeof(invisible) / sizeof(invisible[0]); i++)
		if ((uint32_t)c >= invisible[i].first && (uint32_t)c <= invisible[i].last)
			return 0;
	return c != L'\\' && iswprint((wint_t)c) && wcwidth(c) > 0;
}

/* Only UTF-8 is known well enough to print more than ASCII. */
static int is_utf8(void)
{
	static int utf8 = -1;

	if (utf8 < 0)
		utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	return utf8;
}

/*
 * How many bytes the visible character at `text` has, and its columns; 0 if the first byte is not
 * the beginning of one.
 */
static size_t visible(const char *text, size_t left, int *columns)
{
	unsigned char byte = (unsigned char)*text;
	mbstate_t state = {0};
	wchar_t c = byte;
	size_t length = byte < 0x80 ? 1 : is_utf8() ? mbrtowc(&c, text, left, &state) : 0;

	if (length == 0 || length > left || !is_plain(c))
		return 0;
	*columns = wcwidth(c);
	return length;
}

void ctl_print_text(FILE *out, const char *text, int columns)
{
	size_t left = strlen(text);
	int used = 0;

	while (left > 0) {
		int width = 4; /* of an octal number */
		size_t length = visible(text, left, &width);

		if (columns > 0 && used + width > columns)
			break;
		/* The rest of a rejected character follows byte by byte, as no beginning of one. */
		if (length == 0)
			fprintf(out, "\\%03o", (unsigned char)*text);
		else
			fwrite(text, 1, length, out);
		used += width;
		text += length ? length : 1;
		left -= length ? length : 1;
	}
	if (columns > used)
		fprintf(out, "%*s", columns - used, "");
}

int ctl_complain(const char *what, const char *problem)
{
	fprintf(stderr, "%s: ", ctl.program);
	ctl_print_text(stderr, what, 0);
	fprintf(stderr, ": %s\n", problem);
	return CTL_PROBLEM;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t began_ms, told_ms;

void ctl_progress(const char *what, size_t count)
{
	int64_t now = now_ms();

	if (!began_ms)
		began_ms = now;
	if (now - began_ms < PROGRESS_AFTER_MS || now - told_ms < PROGRESS_EACH_MS || !isatty(2))
		return;
	told_ms = now;
	fprintf(stderr, "\r%s: %zu\033[K", what, count);
}

void ctl_progress_end(void)
{
	if (told_ms)
		fputs("\r\033[K", stderr);
	began_ms = told_ms = 0;
}

const char *ctl_size(uint64_t bytes, char buf[8])
{
	static const char units[] = "BKMGTPE";
	unsigned unit = 0;
	double value = (double)bytes;

	while (value >= 999.5 && units[unit + 1]) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, 8, unit > 0 && value < 9.95 ? "%.1f%c" : "%.0f%c", value, units[unit]);
	return buf;
}

int64_t ctl_parse_size(const char *text)
{
	static const char units[] = "KMGT";
	char *end;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	const char *unit =
		*end ? strchr(units, *end >= 'a' && *end <= 'z' ? *end - 32 : *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (errno || (*end && !unit) || (unit && end[1]) || value > (uint64_t)INT64_MAX >> shift)
		return -1;
	return (int64_t)(value << shift);
}

/* The bytes of the UTF-8 character at `text`, or 0. */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80              ? 1
		: text[0] >= 0xc2 && text[0] < 0xe0 ? 2
		: text[0] >= 0xe0 && text[0] < 0xf0 ? 3
		: text[0] >= 0xf0 && text[0] < 0xf5 ? 4
						    : 0;

	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, above U+10FFFF. */
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] >= 0xa0) ||
		(text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

void ctl_json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *at = (const unsigned char *)text; *at;) {
		size_t length = utf8_length(at);

		if (length == 0)
			fputs("\\ufffd", stdout);
		else if (*at == '"' || *at == '\\')
			printf("\\%c", *at);
		else if (*at < 0x20 || *at == 0x7f)
			printf("\\u%04x", *at);
		else
			fwrite(at, 1, length, stdout);
		at += length ? length : 1;
	}
	putchar('"');
}
