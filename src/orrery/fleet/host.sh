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
#   WORK                    ~/.orrery.d/NAME, ours alone: NAME is the path of the home, or the container
#   WORK/lock               who deploys now: deploy, process, boot, time; a hard link to its `owner.PID`
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
# New files are written into the directory .orrery-deploy of the home, forced to disk, and renamed to
# their places; and so are copies of the old ones, before anything is renamed: putting back takes no
# room on the disk either.
#
# The home may belong to a service that is not trusted with what this may do: what is fed to `sh` is
# not kept there, nothing is read or written there through symbolic links, and .orrery-deploy is ours
# alone, so that nobody slips another file under what is being written.

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
            printf %s "$root"
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
    # Whose ~ that of sudo is depends on its settings.
    [ -z "${SUDO_USER:-}" ] || HOME=$(eval "echo ~$(id -un)")
    base=${HOME:-}/.orrery.d
    work=$base/docker_$container
    [ -z "$root" ] || work=$base/$(printf %s "${root#/}" | tr '/ ' __)
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

# Whether a directory is ours alone, and no link.
is_private() {
    # shellcheck disable=SC2046
    set -- $(ls -ldn "$1" 2>/dev/null)
    case ${1:-} in drwx------*) [ "$3" = "$(id -u)" ] ;; *) return 1 ;; esac
}

# in_directory NAME COMMAND ARGUMENT…: a command of sh, fed from our input, with arguments from $1
# on, in a directory of the home ('' for the home itself), wherever that is; not through a link.
in_directory() {
    script='cd "$1" && here=$(pwd -P) && cd "./$2" && [ "$(pwd -P)" = "$here${2:+/$2}" ] || exit
        command=$3
        shift 3
        eval "$command"'
    if [ -n "$root" ]; then
        sh -c "$script" sh "$root" "$@"
    else
        docker exec -i "$container" sh -c "$script" sh "$home" "$@"
    fi
}

in_home() {
    in_directory '' "$@" </dev/null
}

# at_file NAME COMMAND ARGUMENT…: in the directory of a file, with its name there as $1.
at_file() {
    case $1 in
    */*) directory=${1%/*} ;;
    *) directory= ;;
    esac
    base_name=${1##*/} command=$2
    shift 2
    in_directory "$directory" "$command" "$base_name" "$@" </dev/null
}

content() {
    at_file "$1" '[ -f "$1" ] && [ ! -h "$1" ] && cat "$1"'
}

exists() {
    at_file "$1" '[ -e "$1" ] || [ -h "$1" ]' 2>/dev/null
}

is_same() {
    content "$2" 2>/dev/null | cmp -s - "$1"
}

list_files() {
    in_home 'ls -ldn . moons.d planet identity.public identity.secret authtoken.secret local.conf \
        orrery.toml moons.d/*.moon 2>/dev/null; :'
}

# Those of which the content is told and kept. Not local.conf: passwords of databases stand there.
world_files() {
    in_home 'for name in planet identity.public; do
            [ ! -f "$name" ] || [ -h "$name" ] || echo "$name"
        done
        [ -h moons.d ] || for name in moons.d/????????????????.moon; do
            [ ! -f "$name" ] || [ -h "$name" ] || echo "$name"
        done' | grep -E '^(planet|identity\.public|moons\.d/[0-9a-f]{16}\.moon)$'
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
    say writable
    in_home '[ -w . ] && echo yes || echo no'
    say files
    list_files
    for name in $(world_files); do
        say "file $name"
        content "$name"
    done
    say disk
    in_home 'df -Pk .'
    for path in /status /peer /moon; do
        if answer=$(ask "$path"); then told=answer; else told=no-answer; fi
        say "$told $path"
        printf '%s\n' "$answer"
        [ "$told" = answer ] || break # one that hangs does so for a minute
    done
    say time
    date +%s
    is_private "$base" && is_private "$work" || return 0
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
    mkdir -p "$txn/new/moons.d" "$backup/moons.d" || return
    if ! is_private "$base" || ! is_private "$work"; then
        echo "$work, where deploys keep their journal, belongs to somebody else or is open to" \
            "others: remove it" >&2
        return 1
    fi
    : >"$txn/at.staged" && : >"$txn/untouched" || return
    list_files >"$backup/listing" && [ -s "$backup/listing" ] || {
        try_disk >&2
        return 1
    }
    names=$(world_files)
    for name in $names; do
        content "$name" >"$backup/$name" && is_same "$backup/$name" "$name" && continue
        echo "$name cannot be copied to $backup" >&2
        return 1
    done
    sync
    for name in $names; do
        say "file $name"
        cat "$backup/$name"
    done
}

# Why nothing can be written, where what could not be written does not say so.
try_disk() {
    { uname -a >"$txn/room"; } 2>&1
    rm -f "$txn/room"
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
    if is_held && [ "$holder" = "$id" ]; then
        alive=yes
    elif read -r pid <"$txn/pid" && is_running "$pid"; then
        alive=yes
    fi
    say state
    at
    say alive
    echo "$alive"
    say why
    why=$(cat "$txn/why" || tail -n 1 "$txn/log")
    printf '%s\n' "${why:-$(try_disk)}"
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
    in_staging 'rm -f new/* old/* && rmdir new old' && in_home 'rmdir .orrery-deploy'
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
        # By now it may even hold a newer one, in its file too.
        if holds "$wanted" "$was_online"; then end "done"; fi
        place_all || put_back "$problem"
        ;;
    putting-back)
        put_back "$(cat "$txn/why" 2>/dev/null)"
        ;;
    *) exit 0 ;;
    esac
    sync
    for name in $files; do
        put_in_place new "$name" || put_back "$name cannot be put in its place"
    done
    sync
    is_installed || put_back "the files in their places are not what was to be there"
    if [ -n "$restart" ]; then
        go restarting || put_back "the journal cannot be written"
        restart_service || put_back "$problem"
    else
        # A node that is told to orbit a moon takes it from its file.
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
    if ! restart_service || { [ "$was_running" = yes ] && ! check "$before"; }; then
        [ "$problem" != "$1" ] || problem='it is the same with them'
        end stuck "$1; the old files are back, but $problem"
    fi
    end put-back "$1"
}

restore() {
    # What was missing or damaged is no World to go back to: the new one is whole.
    case " $spoiled " in
    *" $1 "*)
        is_same "$txn/new/$1" "$1" || { place new "$1" && put_in_place new "$1"; }
        return
        ;;
    esac
    if [ ! -e "$backup/$1" ]; then
        [ -s "$backup/listing" ] || return # no backup tells nothing of what was there
        ! exists "$1" || at_file "$1" 'rm -f "$1"'
        return
    fi
    is_same "$backup/$1" "$1" && return
    in_staging 'cat "$1"' "old/${1##*/}" </dev/null | cmp -s - "$backup/$1" || place old "$1"
    put_in_place old "$1"
    is_same "$backup/$1" "$1" && return
    # A container that has stopped lets nothing be run in it.
    [ -z "$root" ] && describe "$(grep " $1\$" "$backup/listing")" &&
        cp "$backup/$1" "$txn/restored" && chmod "$mode" "$txn/restored" &&
        docker cp "$txn/restored" "$container:$home/$1" </dev/null
}

# Files -----------------------------------------------------------------------------------------

# in_staging COMMAND ARGUMENT…: in the directory of the home that is ours alone.
in_staging() {
    staging='mkdir -m 700 .orrery-deploy 2>/dev/null
        owner_of() { set -- $(ls -ldn .) && echo "$3"; }
        cd ./.orrery-deploy && [ "$(pwd -P)" = "$here/.orrery-deploy" ] &&
            [ "$(owner_of)" = "$(id -u)" ] || exit
        case $(ls -ldn .) in drwx------*) ;; *) exit 1 ;; esac
        [ -d new ] && [ -d old ] || mkdir new old 2>/dev/null
        command=$1
        shift
        eval "$command"'
    in_directory '' "$staging" "$@"
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

# Write the new and the old files where they are only to be renamed.
place_all() {
    for name in $files; do
        case $name in
        */*) exists "${name%/*}" || make_directory "${name%/*}" || return 1 ;;
        esac
        place new "$name" || return 1
        [ ! -e "$backup/$name" ] || place old "$name" || return 1
    done
}

make_directory() {
    problem="$1 cannot be made"
    describe "$(in_home 'ls -ldn .')" || return 1
    in_staging 'rmdir "$1" 2>/dev/null
        umask 022
        mkdir "$1" && chown -h "$2" "$1" && mv "$1" ../' "$1" "$owner" </dev/null
}

# place new|old NAME: with the owner and mode of the file that is there, or the owner of the home.
place() {
    source=$txn/new/$2
    [ "$1" = new ] || source=$backup/$2
    staged=$1/${2##*/}
    if exists "$2"; then
        describe "$(at_file "$2" 'ls -ldn "$1"')"
    else
        describe "$(in_home 'ls -ldn .')"
        mode=644 mask=022
    fi
    wanted_owner=$owner wanted_mode=$mode
    # noclobber: made anew or not at all.
    problem="$2 cannot be written: $(
        in_staging 'rm -f "$1" && umask "$2" && set -C && cat >"$1"' "$staged" "$mask" \
            <"$source" 2>&1
    )"
    describe "$(in_staging 'ls -ldn "$1"' "$staged" </dev/null)" || return 1
    [ "$owner" = "$wanted_owner" ] || problem="$2 cannot be given to its owner: $(
        in_staging 'chown -h "$2" "$1"' "$staged" "$wanted_owner" 2>&1 </dev/null
    )"
    describe "$(in_staging 'ls -ldn "$1"' "$staged" </dev/null)" &&
        [ "$owner $mode" = "$wanted_owner $wanted_mode" ] &&
        in_staging 'cat "$1"' "$staged" </dev/null | cmp -s - "$source"
}

# Rename what was written, over a file. From inside of the directory that it goes to, and named by
# that alone: whoever owns it can put a link there at any moment, which mv then replaces, where it
# would have followed one that it was given by name.
put_in_place() {
    case $2 in */*) staged=../.orrery-deploy/$1 ;; *) staged=.orrery-deploy/$1 ;; esac
    at_file "$2" '[ ! -h "$1" ] && [ ! -d "$1" ] && mv -f "$2/$1" ./' "$staged"
}

# owner, mode and the mask for it of what a line of `ls -ldn` lists; nobody executes these.
describe() {
    # shellcheck disable=SC2086
    set -- $1
    [ "$#" -gt 4 ] || return 1
    owner=$3:$4 mode='' mask='' rest=${1#?}
    for _ in 1 2 3; do
        bits=${rest%"${rest#???}"} rest=${rest#???} digit=0
        case $bits in r??) digit=4 ;; esac
        case $bits in ?w?) digit=$((digit + 2)) ;; esac
        mode=$mode$digit mask=$mask$((6 - digit))
    done
}

# The service -----------------------------------------------------------------------------------

nap() {
    sleep 0.2 2>/dev/null || sleep 1
}

restart_service() {
    rm -f "$txn/untouched"
    # What it starts makes files by this mask: ours is for secrets.
    (umask 022 && exec sh -c "$restart") </dev/null &
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
    holder='' owner_file=$txn/owner.$$
    echo "$id $$ $(boot)" >"$owner_file" || {
        [ "$(at)" != staged ] || go kept
        exit 1
    }
    ln "$owner_file" "$work/lock" 2>/dev/null && return
    is_held && return 1
    # Its holder died. Of two who see that, one makes this directory.
    claim=$work/claim.$(($(date +%s) / 60))
    mkdir "$claim" 2>/dev/null || return 1
    is_held || rm -f "$work/lock"
    ln "$owner_file" "$work/lock" 2>/dev/null
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
        ps -ww -o args= -p "$1" 2>/dev/null # else cut off after 79 characters by some
    fi | grep host.sh >/dev/null
}

# After it --------------------------------------------------------------------------------------

forget() {
    state=$(at)
    is_held && [ "$holder" = "$id" ] && return
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
