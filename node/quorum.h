/* Notices when contact with a majority is lost and found again, and sees to it that the cluster hears of it.
 *
 * Loss can't be committed while it lasts. So a node that saw one writes it into a small file
 * (DATA_DIR/quorum) and submits it afterwards as quorum.report under the request id
 * quorum/INCARNATION/NUMBER, which makes a repeat harmless; the file's entry goes when the report is
 * committed. The report of a crashed node goes out when it is back.
 *
 * Threads: the loop thread. The file is a block, written on a change only. */
#pragma once

struct service;
struct quorum_watch;

struct quorum_watch *quorum_watch_open(struct service *service);
/** Looks at service->now: call it whenever that was refreshed. */
void quorum_watch(struct quorum_watch *self);
void quorum_watch_close(struct quorum_watch *self);
