# What tools/bench verify prints: rates, and how many times as long as sha256sum a check took over the same records.
def rounded: . * 100 | round / 100;
($user + $system) as $sum
| def side: . + {records_per_s: (.records / .seconds | round), records_per_cpu_s: (.records / .cpu_seconds | round),
                 times_sha256sum: (.cpu_seconds / ([$sum, 0.001] | max) | rounded)};
{state: (.state | side), folder: (.folder | side), sha256sum: {bytes: $bytes, seconds: $real, cpu_seconds: ($sum | rounded)}}
