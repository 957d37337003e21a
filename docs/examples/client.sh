#!/usr/bin/env bash
# A client of the control plane, with curl and jq.
#
#   client.sh plan PLAN_ID                  makes a plan and publishes it
#   client.sh halt PLAN_ID REASON
#   client.sh flag KEY VALUE [VERSION]      sets a flag, only if it still has this version
#   client.sh wait KEY [TIMES]              prints a flag's value now and whenever it changes
#   client.sh follow [AFTER] [COUNT]        prints audit records as they are committed, those after record AFTER
#
# The nodes: AUTONOMY_ORCHESTRATOR_URL, then AUTONOMY_ORCHESTRATOR_FALLBACK_URLS (commas between). You: AUTONOMY_OPERATOR.
# Exit: 0 done, 1 refused, 2 usage, 5 the outcome is unknown.
set -euo pipefail

IFS=', ' read -r -a nodes <<<"${AUTONOMY_ORCHESTRATOR_URL:-http://127.0.0.1:7101},${AUTONOMY_ORCHESTRATOR_FALLBACK_URLS:-}"
operator=${AUTONOMY_OPERATOR:-client.sh}
patience_s=30
answer=$(mktemp)
reader=
trap 'rm -f "$answer"; kill $reader 2>/dev/null || true' EXIT

next_node() {
    nodes=("${nodes[@]:1}" "${nodes[0]}") # the one that answered last stands first
    sleep 0.2
}

# ask METHOD PATH [BODY] [TIMEOUT_S]: leaves the answer of whichever node gives one in $answer. No answer, 503 and 507 (nothing
# happened) and 504 (it may have happened) go on to the next node. All attempts at a change carry the same Idempotency-Key: it happens
# once, and whoever asks again gets the first answer.
ask() {
    local method=$1 path=$2 body=${3:-} timeout_s=${4:-10} status key again='' end=$((SECONDS + patience_s)) options=()
    if [ "$method" != GET ]; then
        key=$(cat /proc/sys/kernel/random/uuid)
        again="repeat it with Idempotency-Key $key; "
        options+=(-H "Idempotency-Key: $key")
    fi
    [ -z "$body" ] || options+=(-H 'Content-Type: application/json' --data-binary "$body")
    while true; do
        status=$(curl -s -m "$timeout_s" -o "$answer" -w '%{http_code}' -X "$method" "${nodes[0]}$path" \
            -H "X-Autonomy-Operator: $operator" "${options[@]}") || status=000
        case $status in
        2??) return 0 ;;
        000 | 503 | 504 | 507) ;;
        *) jq -r '"\(.code): \(.detail)"' "$answer" >&2 || cat "$answer" >&2; exit 1 ;;
        esac
        if [ "$SECONDS" -gt "$end" ]; then
            echo "no answer within $patience_s s; ${again}last: $status of ${nodes[0]}" >&2
            exit 5
        fi
        next_node
    done
}

plan() {
    ask POST '/v1/rollouts?publish=true' "$(jq -n --arg id "$1" '{plan_id: $id, reason: "release 2.4.1",
        artifact: {name: "checkout", version: "2.4.1", previous_version: "2.4.0"},
        stages: [{stage_id: "canary", target: {percent: 5}, gates: [{kind: "manual"}]}, {stage_id: "all", target: {percent: 100}}]}')"
    jq -r '"\(.plan_id) \(.phase)"' "$answer"
}

halt() {
    ask POST "/v1/rollouts/$1/halt" "$(jq -n --arg reason "$2" '{reason: $reason}')"
    jq -r '"\(.plan_id) \(.stage_id) \(.stage_phase)"' "$answer"
}

flag() {
    ask PUT "/v1/flags/$1" "$(jq -n --arg value "$2" --arg version "${3:-}" '{value: $value, reason: "set by client.sh"} +
        if $version == "" then {} else {expected_version: ($version | tonumber)} end')"
    jq -r '"\(.key) \(.value | tojson) \(.version)"' "$answer"
}

# Long poll: an answer comes when anything newer than the index is applied, or after 30 s.
wait_for() {
    local times=${2:-0} seen='' now query=''
    while true; do
        ask GET "/v1/flags/$1$query" '' 40
        now=$(jq -r '"\(.key) \(.value | tojson) \(.version)"' "$answer")
        if [ "$now" != "$seen" ]; then
            echo "$now"
            seen=$now times=$((times - 1))
            [ "$times" -ne 0 ] || return 0
        fi
        query="?wait=30s&index=$(jq .index "$answer")"
    done
}

# Every audit record after the one with that seq, once and in order, whichever nodes come and go. A comment comes every 15 s.
follow() {
    local after=${1:-} count=${2:-0} line seq='' name='' data='' stream
    while true; do
        exec {stream}< <(exec curl -sfN --speed-limit 1 --speed-time 40 ${after:+-H "Last-Event-ID: $after"} "${nodes[0]}/v1/events")
        reader=$!
        while IFS= read -r -u "$stream" line; do
            case $line in
            'id: '*) seq=${line#id: } ;;
            'event: '*) name=${line#event: } ;;
            'data: '*) data=${line#data: } ;;
            '') # the end of an event; one without data only tells where the stream is
                if [ -n "$data" ] && [[ $name != *.* ]]; then
                    echo "$name: $data" >&2 # overflow, end, pruned
                elif [ -n "$data" ]; then
                    jq -r '"\(.seq) \(.event_name) \(.actor) \(.resource // "-")"' <<<"$data"
                    count=$((count - 1))
                    [ "$count" -ne 0 ] || return 0
                fi
                after=$seq name='' data='' ;;
            esac
        done
        exec {stream}<&-
        name='' data=''
        next_node
    done
}

case ${1:-}:$# in
plan:2) plan "$2" ;;
halt:3) halt "$2" "$3" ;;
flag:[34]) flag "${@:2}" ;;
wait:[23]) wait_for "${@:2}" ;;
follow:[123]) follow "${@:2}" ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
