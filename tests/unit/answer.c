#include "keys/answer.h"

#include "check.h"

/* From which byte on a stream's first event is there; -1: not at all. */
static int
event_from(const char *text)
{
	for (size_t n = 0; n <= strlen(text); n++)
		if (answer_has_event((struct str){ text, n }))
			return (int)n;
	return -1;
}

int
main(void)
{
	CHECK_INT(event_from(""), -1);
	CHECK_INT(event_from("data: x\n\nmore"), 9);
	CHECK_INT(event_from("data: x\r\n\r\n"), 11);
	CHECK_INT(event_from("data\n\n"), 6);
	CHECK_INT(event_from("data:x\ndata:y\n\n"), 15);
	CHECK_INT(event_from("event: error\nid: 1\nretry: 5\ndata: x\n\n"), 37);
	CHECK_NAMED(event_from(": ping\n\n: ping\n\n") == -1, "comments are no event");
	CHECK_NAMED(event_from("event: ping\n\n") == -1, "nor is an event without data");
	CHECK_INT(event_from(": ping\n\ndata: x\n\n"), 17);
	CHECK_NAMED(event_from("data: x") == -1 && event_from("data: x\n") == -1, "nor one that has not ended");
	CHECK_NAMED(event_from("{\"json\": true}\n") == 15, "what is no event stream is not waited for");
	CHECK_INT(event_from("\n\n\n"), -1);
	return check_done();
}
