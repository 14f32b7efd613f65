/* Any bytes from a front: told, more, or refused; never local by accident, never beyond the end. */
#include "base/peer.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = { (const char *)data, size };
	size_t used = 0;
	struct peer p;

	switch (peer_of_front(bytes, &used, &p)) {
	case PEER_TOLD:
		if (used > size || used > PEER_HEADER_MAX || (!p.unix_socket && p.uid != (uid_t)-1))
			abort();
		break;
	case PEER_MORE:
		if (size >= PEER_HEADER_MAX)
			abort();
		/* fall through */
	case PEER_REFUSED:
		if (p.tls || p.unix_socket || p.local_loopback)
			abort();
		break;
	}
	return 0;
}
