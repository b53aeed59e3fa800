/* SPDX-License-Identifier: MIT */
/*
 * A newborn that parent and child share, lib/memfd/birth.c: who comes first makes its memory, the
 * other finds it. Either can be killed between any two steps (KILLS times in all), and both change
 * the name and the size before. A third process comes at any time.
 *
 * The birth's lock is as lock.pml shows it to be. One step is one store into the shared page, or
 * one system call.
 *
 * Shown: all see one size, one whole name and one state; the state is written once, and what was
 * changed in it stays; a death half-way leaves an area that the next one can make or use.
 *
 * Planted faults, each of which must be found: NAME_IN_PLACE, SEAL_FIRST, NO_SEALED_CHECK,
 * NO_TRUNCATE, NO_RECORD_LOCK, NO_BIRTH_LOCK, MAGIC_FIRST, STALE.
 */

#ifndef KILLS
#define KILLS 2
#endif
#define DEAD 8

/* struct birth. A name is two bytes, the same twice when it is whole. */
byte lock;
bit materialised;
byte name_in_use;
byte name[4] = 1; /* [2 * half + byte] */
byte size = 1;

/* The file: its size, whether it is sealed, the record lock, the control block. */
byte file_size;
bit sealed;
byte record_lock;
bit magic;         /* there is a control block */
byte block_size;   /* what it says */
byte block_name;
bit used;          /* somebody changed the state that it holds */


bit gone[4], ended[4];
byte kills;
byte agreed;       /* the size that the first one to use the area saw; 0: nobody yet */

/* establish(): the record lock decides who writes the control block; the others attach. */
inline establish() {
#ifndef NO_RECORD_LOCK
	atomic { record_lock == 0 -> record_lock = me };
#endif
	if
	:: magic -> /* control_attach() */
		assert(sealed);
		assert(block_size == file_size);
		skip
	:: !magic -> /* control_make(); what has the magic is complete */
#ifdef MAGIC_FIRST
		magic = 1;
#endif
		block_name = my_name;
		block_size = my_size;
		atomic {
			assert(!used); /* it wipes out nothing */
			magic = 1
		}
	fi;
#ifndef NO_RECORD_LOCK
	record_lock = 0;
#endif
	/* The size is the block's, whoever made it. */
	atomic {
		my_size = block_size;
		assert(my_size == file_size);
		if
		:: agreed == 0 -> agreed = my_size
		:: else -> assert(agreed == my_size)
		fi
	}
}

/* birth_begin(): goes to `have` if the memory is there. */
inline begin() {
#ifndef NO_BIRTH_LOCK
	atomic { lock == 0 || lock == DEAD -> lock = me };
#endif
#ifndef STALE
	my_size = size;
	atomic {
		my_name = name[2 * name_in_use];
		assert(my_name == name[2 * name_in_use + 1]) /* whole */
	};
#endif
	if
#ifdef NO_SEALED_CHECK
	:: materialised ->
#else
	:: materialised || sealed ->
#endif
#ifndef NO_BIRTH_LOCK
		lock = 0;
#endif
		goto have
	:: else -> skip
	fi
#ifdef STALE
	;
	my_size = size;
	my_name = name[2 * name_in_use]
#endif
}

/* memfd_newborn_end(): the name goes into the half that is not in use. */
inline set_name_and_size(new) {
	begin();
	my_size = new;
#ifdef NAME_IN_PLACE
	name[2 * name_in_use] = new;
	name[2 * name_in_use + 1] = new;
	size = my_size;
#else
	name[2 * (1 - name_in_use)] = new;
	name[2 * (1 - name_in_use) + 1] = new;
	size = my_size;
	name_in_use = 1 - name_in_use;
#endif
	lock = 0
}

/* memfd_materialise(), make_memory() */
inline materialise() {
	begin();
#ifndef NO_TRUNCATE
	/* One who began this and died may have left a size; sealed, it cannot be changed. */
	assert(!sealed);
	file_size = 0;
#endif
#ifdef SEAL_FIRST
	sealed = 1;
#endif
	assert(file_size == 0);
	file_size = my_size;
	sealed = 1;
	establish();
	materialised = 1;
	lock = 0
}

proctype process(byte me)
{
	byte my_size = 1, my_name = 1; /* as before the fork */

	{
		skip;
		if
		:: set_name_and_size(me)
		:: skip
		fi;
		materialise();
		goto use;
have:		establish();
use:		/* An unpin. Nobody may write the control block again after that. */
		used = 1;
		my_size = 0;
		my_name = 0;
		ended[me] = 1
	} unless { gone[me] }
}

/* A third one, which always comes to its end: at the earliest when it likes, at the latest when the
 * others are gone. */
proctype last(byte me)
{
	byte my_size = 1, my_name = 1; /* as before the fork */

	materialise();
	goto use;
have:	establish();
use:	used = 1;
	assert(file_size == agreed && block_size == agreed && block_name != 0)
}

inline kill(who) {
	atomic {
		kills < KILLS && !gone[who] && !ended[who] ->
		kills++;
		gone[who] = 1;
		if
		:: lock == who -> lock = DEAD
		:: else -> skip
		fi;
		if
		:: record_lock == who -> record_lock = 0
		:: else -> skip
		fi
	}
}

active proctype killer()
{
end:	do
	:: kill(1)
	:: kill(2)
	od
}

init {
	atomic {
		run process(1);
		run process(2);
		run last(3)
	}
}
