# All runs of tools/bench compare -> a row for each pair and number of clients: medians of both sides and their ratios.
def median: sort | if length == 0 then null elif length % 2 == 1 then .[(length - 1) / 2] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def side($name): map(select(.side == $name)) | {
    workload: .[0].workload,
    ops_per_s: (map(.ops_per_s) | median),
    p50_us: (map(.latency_us.p50) | median),
    p99_us: (map(.latency_us.p99) | median),
    p999_us: (map(.latency_us.p999) | median),
    max_us: (map(.latency_us.max) | max),
    errors: (map(.errors) | add),
    server_cpu_s_per_10000: (map(.server_cpu_s_per_10000) | median)};
def ratio($a; $b): if $a == null or $b == null or $b == 0 then null else $a / $b end;
{
    rows: [group_by([.pair, .connections])[] | {pair: .[0].pair, connections: .[0].connections,
        autonomy: side("autonomy"), etcd: side("etcd")}
        | . + {ratios: {ops: ratio(.autonomy.ops_per_s; .etcd.ops_per_s), p50: ratio(.autonomy.p50_us; .etcd.p50_us),
            p99: ratio(.autonomy.p99_us; .etcd.p99_us),
            server_cpu: ratio(.autonomy.server_cpu_s_per_10000; .etcd.server_cpu_s_per_10000)}}],
    runs: .
}
