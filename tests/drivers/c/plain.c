/* What the well-behaved filter does beside passing packets on: nothing. */
#include "filter.h"

void play_attach(MODULE *module)
{
	(void)module;
}

void play_detach(MODULE *module)
{
	(void)module;
}

void play_send(MODULE *module, NET_BUFFER_LIST *lists)
{
	(void)module;
	(void)lists;
}

void play_work(MODULE *module)
{
	(void)module;
}
