/*
 * usage: what an answer of /usages says: how much of the quota is left, and until when. Pure.
 *
 * The payload varies by account and age: numbers as strings, figures at the top, under `data` or `usage`,
 * windows as a list or by name, the used part absent. What is not understood counts as not told.
 */
#ifndef KMI_KEYS_USAGE_H
#define KMI_KEYS_USAGE_H

#include "base/buf.h"
#include "base/fail.h"

#include <time.h>

#define USAGE_WINDOWS_MAX 8
#define USAGE_SIZE_MAX (1u << 20)

/* Figures of one quota; -1 = not told. */
struct usage_figures {
	double limit, used, remaining;
	double left;		/* percent, 0 to 100 */
	time_t reset;		/* 0 = not told */
};

struct usage_window {
	char name[24];		/* "5h", "7d", "month total" */
	long long minutes;	/* 0 = not known */
	struct usage_figures figures;
};

struct usage {
	struct usage_figures total;	/* the account's quota, or its longest window */
	struct usage_window windows[USAGE_WINDOWS_MAX];
	size_t window_count;
	bool has_balance, has_booster;
	double balance;			/* money that requests are paid with */
	double booster;			/* what is left beside the quota, 0 when it may not be spent */
	char email[128];		/* "" = not told */
};

/* -1 when it is no JSON object, or one that tells nothing of a quota. */
int usage_parse(struct usage *u, struct str json, time_t now, struct fail *f);

/*
 * What it means for choosing: percent left in whole numbers, -1 not known, and when that ends. 0 only when
 * nothing is left: some window is used up, and no booster pays for more.
 */
int usage_left(const struct usage *u, time_t now, time_t *until);

#endif
