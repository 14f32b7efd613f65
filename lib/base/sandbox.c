#include "base/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What came after the headers of Debian 12. */
#define FS_TRUNCATE (1ULL << 14)	/* version 3 */
#define NET_BIND_TCP (1ULL << 0)	/* version 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define RULE_NET_PORT 2
#define VERSION_REFER 2
#define VERSION_TRUNCATE 3

struct ruleset {
	uint64_t fs, net;
};

struct port_rule {
	uint64_t access, port;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_CHANGE                                                                                              \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |           \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
#define FS_ALL (((LANDLOCK_ACCESS_FS_MAKE_SYM) << 1) - 1)	/* all of version 1 */
#define FS_OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE)

int
sandbox_version(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int)version : 0;
}

/* The rights that this kernel knows of, which are those it takes away. */
static uint64_t
known(int version)
{
	return FS_ALL | (version >= VERSION_REFER ? LANDLOCK_ACCESS_FS_REFER : 0) |
	    (version >= VERSION_TRUNCATE ? FS_TRUNCATE : 0);
}

void
sandbox_begin(struct sandbox *s)
{
	int version = sandbox_version();
	struct ruleset rules = { known(version), NET_BIND_TCP | NET_CONNECT_TCP };

	*s = (struct sandbox){ .fd = -1, .version = version };
	if (version)
		s->fd = (int)syscall(SYS_landlock_create_ruleset, &rules,
		    version >= SANDBOX_VERSION_PORTS ? sizeof(rules) : sizeof(rules.fs), 0);
}

static uint64_t
rights(enum sandbox_access access)
{
	switch (access) {
	case SANDBOX_READ:
		return FS_READ;
	case SANDBOX_RUN:
		return FS_READ | LANDLOCK_ACCESS_FS_EXECUTE;
	case SANDBOX_WRITE:
		return FS_READ | FS_CHANGE | FS_TRUNCATE | LANDLOCK_ACCESS_FS_REFER;
	case SANDBOX_DEVICE:
		return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	}
	return 0;
}

void
sandbox_allow(struct sandbox *s, const char *path, enum sandbox_access access)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = -1 };
	struct stat st;

	if (s->fd < 0)
		return;
	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return;
	rule.allowed_access = rights(access) & known(s->version);
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_FILES;
	(void)syscall(SYS_landlock_add_rule, s->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
}

void
sandbox_port(struct sandbox *s, int port)
{
	struct port_rule rule = { NET_CONNECT_TCP, (uint64_t)port };

	if (s->fd >= 0 && s->version >= SANDBOX_VERSION_PORTS)
		(void)syscall(SYS_landlock_add_rule, s->fd, RULE_NET_PORT, &rule, 0);
}

/* The hard limit too, so that nobody raises it again. Where even that is forbidden, somebody else has thought of limits. */
static void
limit(int resource, rlim_t most)
{
	struct rlimit now, lower = { most, most };

	if (getrlimit(resource, &now) < 0 || now.rlim_max > most)
		(void)setrlimit(resource, &lower);
}

/*
 * Root's: since Linux 6.15 either of them opens the environment of every process below /proc, whatever
 * Landlock says. Who has none of them cannot drop one, and need not.
 */
static void
drop_sight(void)
{
	static const int sight[] = { CAP_PERFMON, CAP_SYS_ADMIN };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, had) < 0)
		return;
	for (size_t i = 0; i < sizeof(sight) / sizeof(*sight); i++) {
		(void)prctl(PR_CAPBSET_DROP, sight[i], 0, 0, 0);	/* a program that is exec'd has it no more, either */
		had[CAP_TO_INDEX(sight[i])].effective &= ~CAP_TO_MASK(sight[i]);
		had[CAP_TO_INDEX(sight[i])].permitted &= ~CAP_TO_MASK(sight[i]);
		had[CAP_TO_INDEX(sight[i])].inheritable &= ~CAP_TO_MASK(sight[i]);
	}
	(void)syscall(SYS_capset, &head, had);
}

int
sandbox_enter(struct sandbox *s, struct fail *f)
{
	int rc = 0;

	if (s->off)
		return 0;
	/* 1, not 0: the kernel hands even a limit of 0 to a core handler it pipes to. */
	limit(RLIMIT_CORE, 1);
	if (s->alone)
		limit(RLIMIT_NPROC, 0);
	drop_sight();
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		rc = fail_sys(f, "give up new privileges");
	if (!s->version)
		return rc;
	if (rc == 0 && syscall(SYS_landlock_restrict_self, s->fd, 0) < 0)
		rc = fail_sys(f, "enter the sandbox");
	close(s->fd);
	s->fd = -1;
	return rc;
}
