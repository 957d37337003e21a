# What compare.jq made, as a table in Markdown; latencies in ms, processor seconds of all servers for 10,000 operations.
def fixed($digits): if . == null then "-" else (. * pow(10; $digits) | round / pow(10; $digits) | tostring) end;
def half($name): "| \($name) | \(.ops_per_s | fixed(0)) | \(.p50_us / 1000 | fixed(2)) | \(.p99_us / 1000 | fixed(2)) | \(.p999_us / 1000 | fixed(2)) | \(.server_cpu_s_per_10000 | fixed(2)) | \(.errors) |";
"| pair | clients | side | ops/s | p50 ms | p99 ms | p999 ms | server CPU s / 10,000 | errors |",
"| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
(.rows[] | "| \(.pair) | \(.connections) " + (.autonomy | half(.workload)),
    "| | " + (.etcd | half(.workload)),
    "| | | ratio | \(.ratios.ops | fixed(2)) | \(.ratios.p50 | fixed(2)) | \(.ratios.p99 | fixed(2)) | | \(.ratios.server_cpu | fixed(2)) | |")
