/* SPDX-License-Identifier: MIT */
/*
 * A purge against pins: lib/memfd/control_purge.c, lib/memfd/recover.c,
 * lib/memfd/readers.c, lib/memfd/control_read.c, lib/memfd/descriptors.c, for the pages of one
 * range. A purger, a user who can write (unpins, pins, moves the range within the list, exports),
 * and a peer who pins by a lock of the kernel on the file, read-only or by a hold. Who can write
 * can be killed between any two steps, KILLS times in all, also while it recovers.
 *
 * The lock is as lock.pml shows it to be: one owner, and who comes after a dead one learns of it.
 * One step is one store that others can see, or one system call.
 *
 * Shown: pages that are pinned, held, or pinned by a reader, are not freed; who is told NOT_PURGED
 * has its data, whatever died before (rule 16); a purge that was begun ends, or is begun anew; an
 * exported descriptor can be pinned through at once. A purge only looks for locks on the file,
 * under the area's lock, and takes none: who locks after its look finds its mark. A viewer, who
 * locks on the file and then sees no owner of the area's lock, or a dead one, goes by the lost bits
 * alone: they are set before pages go, and recovery frees nothing that is locked on the file.
 *
 * Planted faults, each of which must be found: MARK_AFTER, NO_NOTE, NO_READER_TEST, TEST_EARLY,
 * LOOK_FIRST, LOOK_AT_ONCE, ANNOUNCE_AFTER, ANNOUNCE_LAST, NO_CHANGES, NO_RECOVERY, GIVE_UP,
 * PUNCH_LATE, BITS_AFTER, NO_RECOVERY_TEST, VIEW_AT_ONCE.
 */

#ifndef KILLS
#define KILLS 2
#endif

#define PURGER 1
#define USER 2
#define HOLDER 3
#define DEAD 4

byte lock;      /* 0, the owner, or DEAD: the owner died */
/* control->changes, modulo 4; counted only where somebody looks at it, for fewer states */
byte changes;
bit looked_at;
bit gone[4], ended[4];
byte kills;

/* The range: in one of two places of the list, 0 not there, else UNPINNED and perhaps MARKED. */
#define UNPINNED 1
#define MARKED 3
byte place[2];
byte journal;   /* image of place[0] while the range moves; 0: none */
bit live = 1;   /* it counts as evictable */
bit noted;      /* control->purge_count */
bit has_readers;

/* The file: its data, a reader's read lock. */
bit data = 1;
bit read_locked;
bit bits;       /* the pages are called lost */

/* What nobody sees: somebody counts on the data; they are lost and nobody was told so. */
bit pinned, kept, lost;
bit exported;

#define MARK_OF(p) ((p) == MARKED)
#define IS_MARKED (place[0] == MARKED || place[1] == MARKED)
#define IS_THERE (place[0] != 0 || place[1] != 0)

inline punch() {
	atomic {
		assert(!pinned);
		assert(!kept);
		assert(bits);
		lost = lost | data;
		data = 0
	}
}

/* control_lock(): take, announce, recover if the last owner died. */
inline take(me) {
	atomic { lock == 0 || lock == DEAD -> died = (lock == DEAD); lock = me };
	changes = (looked_at -> (changes + 1) & 3 : 0);
	if
	:: died ->
#ifndef NO_RECOVERY
		/* range_recover() */
		if
		:: journal != 0 -> place[1] = 0; place[0] = journal; journal = 0
		:: else -> skip
		fi;
		/* what a dead one was to free, or, if the kernel refuses, counts as live again */
		if
		:: noted ->
			if
#ifndef NO_RECOVERY_TEST
			:: has_readers && read_locked -> live = 1
			:: !(has_readers && read_locked) -> bits = 1; punch()
#else
			:: bits = 1; punch()
#endif
#ifdef GIVE_UP
			:: lock = 0; goto given_up
#else
			:: live = 1
#endif
			fi
		:: else -> skip
		fi;
		noted = 0;
#endif
		died = 0
	:: else -> skip
	fi;
	/* Nothing of a purge is forgotten: what is off the LRU has been freed. */
	assert(!(IS_THERE && !live && data))
}

inline release() {
	lock = 0
}

proctype purger()
{
	bit died, held;
	byte turns = 2;

	{
		skip;
again:
#ifdef TEST_EARLY
		held = read_locked;
#endif
		take(PURGER);
		/* control_purge(): the oldest range that is live; is_held() */
		if
		:: !IS_THERE || !live -> goto done
		:: else -> skip
		fi;
#ifndef NO_READER_TEST
#ifndef TEST_EARLY
		held = read_locked;
#endif
		if
		:: has_readers && held -> goto done /* passed over */
		:: else -> skip
		fi;
#endif
#ifdef PUNCH_LATE
		lock = 0;
		bits = 1;
		punch();
		atomic { lock == 0 || lock == DEAD -> lock = PURGER };
#endif
		/* 1. mark */
#ifndef MARK_AFTER
		atomic { place[0] = (place[0] -> MARKED : 0); place[1] = (place[1] -> MARKED : 0) };
#endif
		/* 2. note, 3. off the LRU */
#ifndef NO_NOTE
		noted = 1;
#endif
		live = 0;
		/* 4. the lost bits, 5. free, or the kernel refuses: put_back() */
#ifndef BITS_AFTER
		bits = 1;
#endif
		if
		:: punch()
		:: live = 1
		fi;
#ifdef BITS_AFTER
		bits = 1;
#endif
#ifdef MARK_AFTER
		atomic { place[0] = (place[0] -> MARKED : 0); place[1] = (place[1] -> MARKED : 0) };
#endif
		/* 6. forget the note */
		noted = 0;
done:		held = 0;
		release();
given_up:	turns--;
		if
		:: turns > 0 -> goto again
		:: else -> skip
		fi;
		ended[PURGER] = 1
	} unless { gone[PURGER] }
}

proctype user()
{
	bit died;
	byte turns = 2;

	{
		/* memfd_export_read_only(): has_readers is set under the lock before anybody has
		 * the descriptor. */
#ifdef ANNOUNCE_AFTER
		exported = 1;
#endif
		if
		:: take(USER); has_readers = 1; release()
		:: goto again /* it never exports */
		fi;
		exported = 1;
again:		if
		:: /* unpin */
			pinned = 0;
			take(USER);
			if
			:: !IS_THERE -> atomic { place[0] = UNPINNED; live = 1 }
			:: else -> skip
			fi;
			release()
		:: /* pin */
			take(USER);
			atomic {
				if
				:: IS_MARKED -> lost = 0
				:: else -> assert(!lost) /* NOT_PURGED */
				fi;
				pinned = 1;
				place[0] = 0;
				place[1] = 0;
				live = 0;
				bits = 0
			};
			release();
			data = 1 /* rebuilt, if it was told to */
		:: /* something else moves the range within the list: a transaction */
			take(USER);
			if
			:: place[0] != 0 ->
				journal = place[0];
				place[0] = 0;
				place[1] = journal;
				journal = 0
			:: place[0] == 0 && place[1] != 0 ->
				atomic { place[0] = place[1]; place[1] = 0 }
			:: else -> skip
			fi;
			release()
		fi;
given_up:	turns--;
		if
		:: turns > 0 -> goto again
		:: else -> skip
		fi;
		ended[USER] = 1
	} unless { gone[USER] }
}

/* memfd_reader_pin(): read lock, then the look without the lock, control_look(). It cannot recover,
 * and can give up. */
proctype reader()
{
	byte before, first, second;

end:	exported;
	if
	:: !has_readers -> assert(0) /* it is refused */
	:: else -> skip
	fi;
#ifndef LOOK_FIRST
	read_locked = 1;
#endif
	before = changes;
#ifndef LOOK_AT_ONCE
	if
	:: lock != 0 -> goto give_up
	:: else -> skip
	fi;
#endif
	second = place[1];
	first = place[0];
#ifndef NO_CHANGES
	if
#ifdef LOOK_AT_ONCE
	:: changes != before -> goto give_up
#else
	:: lock != 0 || changes != before -> goto give_up
#endif
	:: else -> skip
	fi;
#endif
	if
	:: MARK_OF(first) || MARK_OF(second) -> goto give_up /* WAS_PURGED */
	:: else -> skip
	fi;
#ifdef LOOK_FIRST
	read_locked = 1;
#endif
	atomic {
		assert(!lost);
		kept = 1
	};
	kept = 0;
give_up:
	read_locked = 0;
	looked_at = 0;
	changes = 0;
	before = 0;
	first = 0;
	second = 0
}

/* memfd_hold() of one who can write: announce, read lock, look under the lock. */
proctype holder()
{
	bit died, marked;

	{
#ifndef ANNOUNCE_LAST
		take(HOLDER);
		has_readers = 1;
		release();
#else
		skip;
#endif
		read_locked = 1;
		take(HOLDER);
		atomic {
			marked = IS_MARKED;
			assert(marked || !lost);
			kept = !marked
		};
		release();
#ifdef ANNOUNCE_LAST
		take(HOLDER);
		has_readers = 1;
		release();
#endif
		kept = 0;
		read_locked = 0;
given_up:	ended[HOLDER] = 1
	} unless { gone[HOLDER] }
}

/*
 * A cache's view: the read lock, then the area's lock seen free or its owner dead, then the bits.
 */
proctype viewer()
{
end:	has_readers;
	read_locked = 1;
#ifndef VIEW_AT_ONCE
	(lock == 0 || lock == DEAD);
#endif
	atomic {
		if
		:: !bits ->
			assert(data || pinned);
			kept = 1
		:: else -> skip
		fi
	};
	kept = 0;
	read_locked = 0
}

/* A dead process's pins stay, its own locks on the file go. */
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
		:: who == HOLDER -> kept = 0; read_locked = 0
		:: else -> skip
		fi
	}
}

active proctype killer()
{
end:	do
	:: kill(PURGER)
	:: kill(USER)
	:: kill(HOLDER)
	od
}

init {
	atomic {
		place[0] = UNPINNED; /* to begin with */
		run purger();
		run user();
		if
		:: run reader(); looked_at = 1; gone[HOLDER] = 1
		:: run holder()
		:: run viewer(); gone[HOLDER] = 1
		fi
	}
}
