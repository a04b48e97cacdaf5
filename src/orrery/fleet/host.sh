# The host's side of `orrery deploy`: what is done on a server, in plain POSIX sh.
#
# It is fed to `sh -s` or kept in the directory of a deploy. Everything is a function, and the last
# line calls the first: a script that arrives cut off does nothing.
#
#   look TOKEN HOME CONTAINER          tells what is there; changes nothing
#   prepare TOKEN HOME CONTAINER ID    makes the directory of a deploy, and a backup that it tells
#   start TOKEN WORK ID                begins the deploy, or goes on with it, and does not wait
#   state TOKEN WORK ID                tells how far it is
#   forget TOKEN WORK ID KEEP          removes it when it is over, and backups that are too many
#
# What it tells are records, `@TOKEN NAME` on a line of its own and the content below. TOKEN is
# random, so no content can look like one.
#
#   WORK                    orrery.d in the home; without a way to the home of a container
#                           ~/.orrery.d/CONTAINER
#   WORK/lock               who deploys now: deploy, process, boot, time; a hard link to its `owner`
#   WORK/backups/ID/        the files as they were before deploy ID
#   WORK/deploys/ID/at.*    an empty file whose name says how far it is: renamed before each act,
#                           which takes no room on a disk and is whole after a crash
#     staged                nothing was changed yet
#     installing            files may be the old or the new ones, each whole
#     restarting, checking  all new; the service was told to restart, and is asked what it holds
#     putting-back          files may be the new or the old ones, each whole
#     done, put-back        over: the new ones run; the old ones run
#     kept, busy, changed   over: nothing was changed
#     stuck                 over: the old files are back, as far as `why` does not say otherwise,
#                           but the service does not do with them either
#   WORK/deploys/ID/new/    the new files;  plan: settings;  why: what went wrong
#   WORK/deploys/ID/untouched   there until the service is told to restart
#
# A new file is written beside its place, forced to disk, and renamed over it; and so is a copy of
# the old one, before anything is renamed: putting back takes no room on the disk either.

set -u
LC_ALL=C
PATH=${PATH:-/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 077

main() {
    verb=$1 token=$2
    case $verb in
    look | prepare)
        home=$3 container=$4 id=${5:-}
        find_home || exit 0
        "$verb" || say failed
        ;;
    start | state | forget | run)
        work=$3 id=$4 keep=${5:-0}
        txn=$work/deploys/$id backup=$work/backups/$id
        "$verb"
        ;;
    esac
    say end
}

say() {
    printf '\n@%s %s\n' "$token" "$1"
}

# The home --------------------------------------------------------------------------------------

# root: the home as a directory of this machine; empty when it is inside of the container only.
find_home() {
    root=
    if [ -z "$container" ]; then
        root=$(cd "$home" 2>&1 && pwd -P) || {
            say no-home
            (cd "$home") 2>&1
            return 1
        }
    else
        mounts=$(docker inspect -f \
            '{{range .Mounts}}{{.Destination}}:{{.Source}}{{"\n"}}{{end}}' "$container" 2>&1) || {
            say no-container
            printf %s "$mounts"
            return 1
        }
        root=$(mount_of "$home")
        [ -n "$root" ] && [ -w "$root" ] && root=$(cd "$root" && pwd -P) || root=
        [ -n "$root" ] || in_home : 2>/dev/null || {
            say no-container-home
            in_home : 2>&1
            return 1
        }
    fi
    work=${HOME:-/root}/.orrery.d/$container
    [ -z "$root" ] || work=$root/orrery.d
}

# The directory of this machine that a container sees at a path; the longest mount counts.
mount_of() {
    longest=0
    printf '%s\n' "$mounts" | {
        while IFS=: read -r inside outside; do
            case $1/ in
            "${inside%/}"/*)
                if [ -n "$outside" ] && [ "${#inside}" -gt "$longest" ]; then
                    longest=${#inside}
                    found=$outside${1#"${inside%/}"}
                fi
                ;;
            esac
        done
        printf %s "${found:-}"
    }
}

# A command of sh in the home, with arguments from $1 on.
in_home() {
    fed_home "$@" </dev/null
}

fed_home() {
    command=$1
    shift
    if [ -n "$root" ]; then
        (cd "$root" && exec sh -c "$command" sh "$@")
    else
        docker exec -i "$container" sh -c 'cd "$0" && command=$1 && shift && eval "$command"' \
            "$home" "$command" "$@"
    fi
}

content() {
    in_home 'cat "$1"' "$1"
}

exists() {
    in_home '[ -e "$1" ]' "$1"
}

is_same() {
    content "$2" 2>/dev/null | cmp -s - "$1"
}

list_files() {
    in_home 'ls -ldn . moons.d planet identity.public identity.secret authtoken.secret local.conf \
        orrery.toml moons.d/*.moon 2>/dev/null || :'
}

world_files() {
    in_home 'ls -d planet identity.public local.conf moons.d/*.moon 2>/dev/null' |
        grep -E '^(planet|identity\.public|local\.conf|moons\.d/[0-9a-f]{16}\.moon)$'
}

# What the service says of itself.
ask() {
    if [ -n "$container" ]; then
        docker exec "$container" zerotier-cli "-D$home" "$@"
    elif command -v zerotier-cli >/dev/null 2>&1; then
        zerotier-cli "-D$home" "$@"
    elif command -v zerotier-one >/dev/null 2>&1; then
        zerotier-one -q "-D$home" "$@"
    else
        echo 'zerotier-cli is missing'
        return 127
    fi </dev/null 2>&1
}

# Looking ---------------------------------------------------------------------------------------

look() {
    say home
    printf '%s\n%s\n' "$root" "$work"
    say system
    uname -s
    say files
    list_files
    for name in $(world_files); do
        say "file $name"
        content "$name"
    done
    say disk
    in_home 'df -Pk .'
    for path in /status /peer /moon; do
        if answer=$(ask "$path"); then say "answer $path"; else say "no-answer $path"; fi
        printf '%s\n' "$answer"
    done
    say time
    date +%s
    for other in $(unfinished); do
        say unfinished
        tell_deploy "$other"
    done
    if is_held; then
        say working
        tell_deploy "$holder"
    fi
}

# Deploys that may have changed something and are not over.
unfinished() {
    (cd "$work/deploys" 2>/dev/null && ls -d */at.installing */at.restarting */at.checking \
        */at.putting-back 2>/dev/null) | sed 's|/.*||'
}

tell_deploy() {
    txn=$work/deploys/$1
    printf '%s\n%s\n' "$1" "$(at)"
    cat "$txn/by" 2>/dev/null
}

# Preparing -------------------------------------------------------------------------------------

prepare() {
    txn=$work/deploys/$id backup=$work/backups/$id
    mkdir -p "$txn/new/moons.d" "$backup/moons.d" && chmod 700 "$work" || return
    : >"$txn/at.staged" && : >"$txn/untouched" || return
    list_files >"$backup/listing" && [ -s "$backup/listing" ] || return
    names=$(world_files)
    for name in $names; do
        if [ -n "$root" ]; then
            cp -p "$root/$name" "$backup/$name" || return
        else
            content "$name" >"$backup/$name" || return
        fi
        is_same "$backup/$name" "$name" || return
    done
    sync
    for name in $names; do
        say "file $name"
        cat "$backup/$name"
    done
}

# The deploy ------------------------------------------------------------------------------------

start() {
    # Its own process with no way to us: it goes on when the connection is lost.
    sh "$txn/host.sh" run "$token" "$work" "$id" </dev/null >>"$txn/log" 2>&1 &
    echo "$!" >"$txn/pid"
}

state() {
    [ -d "$txn" ] || return 0
    # Whether it runs comes first: what ended after that has said so in its state.
    alive=no
    read -r pid <"$txn/pid" && is_running "$pid" && alive=yes
    say state
    at
    say alive
    echo "$alive"
    say why
    cat "$txn/why" 2>/dev/null
} 2>/dev/null

at() {
    found=$(echo "$txn"/at.*)
    echo "${found##*/at.}"
}

go() {
    [ -e "$txn/at.$1" ] || mv -f "$txn"/at.* "$txn/at.$1"
}

end() {
    [ -z "${2:-}" ] || printf '%s\n' "$2" >"$txn/why"
    for name in $files; do
        in_home 'rm -f "$1" "$2"' "$(beside new "$name")" "$(beside old "$name")"
    done
    sync
    go "$1"
    rm -f "$work/lock"
    exit 0
}

run() {
    trap : HUP # not ignored: what the restart starts would ignore it too
    . "$txn/plan"
    take_lock || {
        # One that was cut off is gone on with by whoever has the lock.
        [ "$(at)" != staged ] || { echo "$holder" >"$txn/why" && go busy; }
        exit 0
    }
    case $(at) in
    staged)
        [ -z "$(unfinished)" ] ||
            end changed "another deploy was cut off there meanwhile"
        is_unchanged || end changed "$problem"
        place_all || end kept "$problem"
        go installing || end kept "the journal cannot be written"
        ;;
    installing | restarting | checking)
        if holds "$wanted" "$was_online" && is_installed; then end "done"; fi
        place_all || put_back "$problem"
        ;;
    putting-back)
        put_back "$(cat "$txn/why" 2>/dev/null)"
        ;;
    *) exit 0 ;;
    esac
    sync
    for name in $files; do
        in_home 'mv -f "$1" "$2"' "$(beside new "$name")" "$name" ||
            put_back "$name cannot be put in its place"
    done
    sync
    is_installed || put_back "the files in their places are not what was to be there"
    if [ -n "$restart" ]; then
        go restarting || put_back "the journal cannot be written"
        restart_service || put_back "$problem"
    else
        # A node takes a moon from its file when it is told to orbit it, also a newer one.
        for each in $orbits; do
            answer=$(ask orbit "${each%:*}" "${each#*:}") ||
                put_back "the service does not orbit moon ${each%:*}: $answer"
        done
    fi
    go checking || put_back "the journal cannot be written"
    check "$wanted" || put_back "$problem"
    end "done"
}

put_back() {
    printf '%s\n' "$1" >"$txn/why"
    go putting-back
    left=
    for name in $files; do
        restore "$name" || left="$left $name"
    done
    sync
    [ -z "$left" ] || end stuck "$1; and the old files cannot be put back:$left"
    if [ -e "$txn/untouched" ]; then
        for each in $orbits; do
            # What was no file before was no moon of this node; this removes its file too.
            [ -e "$backup/moons.d/000000${each%:*}.moon" ] || ask deorbit "${each%:*}"
        done
        end put-back "$1"
    fi
    restart_service || end stuck "$1; the old files are back, but $problem"
    [ "$was_running" = no ] || check "$before" || end stuck "$1; the old files are back, but $problem"
    end put-back "$1"
}

restore() {
    if [ ! -e "$backup/$1" ]; then
        in_home 'rm -f "$1"' "$1"
        return
    fi
    is_same "$backup/$1" "$1" && return
    is_same "$backup/$1" "$(beside old "$1")" || place "$backup/$1" old "$1"
    in_home 'mv -f "$1" "$2"' "$(beside old "$1")" "$1"
    is_same "$backup/$1" "$1" && return
    # A container that has stopped lets nothing be run in it.
    [ -z "$root" ] && docker cp "$backup/$1" "$container:$home/$1" </dev/null
}

# Files -----------------------------------------------------------------------------------------

beside() {
    case $2 in
    */*) echo "${2%/*}/.orrery-$1-${2##*/}" ;;
    *) echo ".orrery-$1-$2" ;;
    esac
}

is_unchanged() {
    for name in $files; do
        if [ -e "$backup/$name" ]; then
            is_same "$backup/$name" "$name"
        else
            ! exists "$name"
        fi || {
            problem="$name was changed by somebody else meanwhile"
            return 1
        }
    done
}

is_installed() {
    for name in $files; do
        is_same "$txn/new/$name" "$name" || return 1
    done
}

# Write the new and the old files beside their places.
place_all() {
    for name in $files; do
        place "$txn/new/$name" new "$name" || return 1
        [ ! -e "$backup/$name" ] || place "$backup/$name" old "$name" || return 1
    done
}

# place SOURCE new|old NAME: with the owner and mode of the file that is there, or those of the home.
place() {
    source=$1
    temporary=$(beside "$2" "$3")
    case $3 in
    */*)
        exists "${3%/*}" || {
            describe .
            in_home 'mkdir "$1" && chmod 755 "$1" && chown "$2" "$1"' "${3%/*}" "$owner"
        }
        ;;
    esac
    if exists "$3"; then describe "$3"; else
        describe .
        mode=644
    fi
    problem="$3 cannot be written beside its place: $(
        {
            in_home 'rm -f "$1"' "$temporary"
            fed_home 'cat >"$1"' "$temporary" <"$source" &&
                in_home 'chown "$2" "$1" && chmod "$3" "$1"' "$temporary" "$owner" "$mode"
        } 2>&1
    )"
    wanted_owner=$owner wanted_mode=$mode
    is_same "$source" "$temporary" && describe "$temporary" &&
        [ "$owner $mode" = "$wanted_owner $wanted_mode" ]
}

# owner and mode of a file, in numbers.
describe() {
    # shellcheck disable=SC2046
    set -- $(in_home 'ls -ldn "$1"' "$1")
    [ "$#" -gt 4 ] || return 1
    owner=$3:$4 mode= rest=${1#?}
    for _ in 1 2 3; do
        bits=${rest%"${rest#???}"} rest=${rest#???} digit=0
        case $bits in r??) digit=4 ;; esac
        case $bits in ?w?) digit=$((digit + 2)) ;; esac
        case $bits in ??[xst]) digit=$((digit + 1)) ;; esac
        mode=$mode$digit
    done
}

# The service -----------------------------------------------------------------------------------

nap() {
    sleep 0.2 2>/dev/null || sleep 1
}

restart_service() {
    rm -f "$txn/untouched"
    sh -c "$restart" </dev/null &
    job=$!
    since=$(date +%s)
    while kill -0 "$job" 2>/dev/null; do
        if is_over "$since"; then
            kill -9 "$job"
            problem="the restart had not ended after $timeout seconds: $restart"
            return 1
        fi
        nap
    done
    wait "$job" && return
    problem="the restart failed with status $?: $restart: $(tail -n 1 "$txn/log")"
    return 1
}

# Whether the time since then is over; a clock that was set back ends it too.
is_over() {
    passed=$(($(date +%s) - $1))
    [ "$passed" -lt 0 ] || [ "$passed" -ge "$timeout" ]
}

# Wait until the service holds Worlds, is online where it was, and stays so for a moment.
check() {
    since=$(date +%s)
    until holds "$1" "$was_online" && sleep 1 && holds "$1" "$was_online"; do
        is_over "$since" && return 1
        nap
    done
}

# holds "planet:ID:MS moon:ID:MS …" yes|no: planets have their id in decimal, moons in 16 hex digits.
holds() {
    status=$(ask /status) || {
        problem="the service does not answer: $(printf %s "$status" | head -n 1)"
        return 1
    }
    status=$(printf %s "$status" | tr -d ' \t\r\n')
    for each in $1; do
        world_id=${each#*:} time=${each##*:}
        world_id=${world_id%:*}
        case $each in
        planet:*) held=$(field planetWorldId "$status"):$(field planetWorldTimestamp "$status") ;;
        moon:*) held=$world_id:$(moon_time "$world_id") ;;
        esac
        if [ "${held%%:*}" != "$world_id" ] || ! is_enough "${held#*:}" "$time"; then
            problem="the service does not hold ${each%%:*} $world_id with timestamp $time, but $held"
            return 1
        fi
    done
    [ "$2" = no ] || [ "$(field online "$status")" = true ] || {
        problem="the service is not online, as it was before"
        return 1
    }
}

field() {
    printf '%s\n' "$2" | sed -n "s/.*[{,]\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}

# Keys come in the order of the alphabet: the timestamp of a moon after its id and its roots.
moon_time() {
    ask /moon | tr -d ' \t\r\n' | tr '{' '\n' | {
        moon=
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in '"id":"'*) moon=$(field id ",$line") ;; esac
            case $moon,$line in "$1,"*'"timestamp":'*) field timestamp "$line" ;; esac
        done
    }
}

# Whether a number is not less than another; longer ones than sh can count with.
is_enough() {
    case $1 in '' | *[!0-9]*) return 1 ;; esac
    [ "${#1}" -gt "${#2}" ] || { [ "${#1}" -eq "${#2}" ] && expr "x$1" \>= "x$2" >/dev/null; }
}

# The lock --------------------------------------------------------------------------------------

take_lock() {
    holder=
    echo "$id $$ $(boot)" >"$txn/owner" || return 1
    ln "$txn/owner" "$work/lock" 2>/dev/null && return
    is_held && return 1
    # Its holder died. Of two who see that, one makes this directory.
    claim=$work/claim.$(($(date +%s) / 60))
    mkdir "$claim" 2>/dev/null || return 1
    is_held || rm -f "$work/lock"
    ln "$txn/owner" "$work/lock" 2>/dev/null
    is_mine=$?
    rmdir "$work"/claim.*
    [ "$is_mine" -eq 0 ]
}

# Whether somebody has the lock who still runs; `holder` is the deploy.
is_held() {
    read -r holder pid since_boot 2>/dev/null <"$work/lock" || return 1
    case $since_boot in "$(boot)" | "" | unknown) is_running "$pid" ;; *) return 1 ;; esac
}

boot() {
    cat /proc/sys/kernel/random/boot_id 2>/dev/null ||
        sysctl -n kern.bootsessionuuid 2>/dev/null || echo unknown
}

# Whether a process runs and is one of these: numbers are given out again.
is_running() {
    kill -0 "$1" 2>/dev/null || return 1
    if [ -r "/proc/$1/cmdline" ]; then
        tr '\0' ' ' <"/proc/$1/cmdline"
    else
        ps -o args= -p "$1" 2>/dev/null
    fi | grep host.sh >/dev/null
}

# After it --------------------------------------------------------------------------------------

forget() {
    state=$(at)
    read -r pid 2>/dev/null <"$txn/pid" && is_running "$pid" && return
    case $state in installing | restarting | checking | putting-back) return ;; esac
    case $state in staged | kept | busy | changed) rm -rf "$backup" ;; esac
    rm -rf "$txn"
    trim "$work/deploys" && trim "$work/backups"
}

# Remove all but the newest of a directory, and none that belongs to a deploy that is not over.
trim() {
    surplus=$(($(ls "$1" | wc -l) - keep))
    for old in $(ls "$1" | sort); do
        [ "$surplus" -gt 0 ] || break
        surplus=$((surplus - 1))
        found=$(echo "$work/deploys/$old"/at.*)
        case ${found##*/at.} in installing | restarting | checking | putting-back) continue ;; esac
        rm -rf "${1:?}/$old"
    done
}

main "$@"
