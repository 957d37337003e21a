/* Bounds that more than one folder needs, each with its unit and its reason. What one module bounds stands
 * there. */
#pragma once

#define COMMAND_BYTES_MAX    (64u * 1024u)   /* one command as it stands in the log */
#define GROUP_BYTES_MAX      (1024u * 1024u) /* what one loop turn submits: one sync, one WriteBatch */
#define GROUP_COMMANDS_MAX   1024u
#define FRAME_BYTES_MAX      (2u * 1024u * 1024u) /* one frame on the wire: a group with its framing fits */
#define NODES_MAX            15u                  /* members of a cluster, standbys and spares included */
#define ADDRESS_BYTES_MAX    256u                 /* "host:port", with its NUL */
#define NAME_BYTES_MAX       128u                 /* ids, keys, names: [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
#define REASON_BYTES_MAX     1024u                /* a sentence of a person */
#define REQUEST_ID_BYTES_MAX 128u
#define PRINCIPAL_BYTES_MAX  256u
#define CLUSTER_ID_BYTES     33u /* 32 hex digits and a NUL */
#define DIGEST_BYTES         32u /* SHA-256 */
