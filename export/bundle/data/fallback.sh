#!/bin/sh
# Sends the board back to the other slot when the runtime has not been up for a long time: what helps when the unit of a
# new slot, the installer or its record cannot be used. Needs a shell, coreutils and systemctl; no Python, no record and
# not the unit of the slot that flies. Run by swathpack-fallback.timer; the runtime's own counting of starts comes first.
#
#   fallback.sh [ROOT [CHECKS]]     ROOT: "" on a board. CHECKS in a row without the runtime before it acts.
root=${1:-}
limit=${2:-12}
unit=swathpack.service
base=$root/opt/swathpack
count=$base/fallback.count

say() {
    echo "fallback: $1"
    mkdir -p "$base/log" && echo "{\"time\": \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\", \"step\": \"fallback\", \"state\": \"note\", \"text\": \"$1\"}" >> "$base/log/install.jsonl"
}

# A slot that has proved itself, with what it needs to start.
good() {
    [ -s "$base/slots/$1/.good" ] && [ -s "$base/slots/$1/unit/$unit" ] && [ -d "$base/slots/$1/runtime/swathpack" ]
}

point() { # link target: durable, the old one or the new one at any instruction
    ln -sfn "$2" "$base/$1.part" && mv -T "$base/$1.part" "$base/$1"
}

active=$(systemctl show -p ActiveState --value "$unit")
load=$(systemctl show -p LoadState --value "$unit")
case $load:$active in
    # Up, or stopped by somebody.
    loaded:active | loaded:inactive | masked:*) rm -f "$count"; exit 0 ;;
esac

checks=$(cat "$count" 2>/dev/null)
case $checks in '' | *[!0-9]* | ????*) checks=0 ;; esac
checks=$((checks + 1))
if [ "$checks" -lt "$limit" ]; then
    echo "$checks" > "$count.part" && mv "$count.part" "$count"
    exit 0
fi

now=$(readlink "$base/current")
now=${now##*/}
case $now in a) other=b ;; b) other=a ;; *) other=a; good a || other=b ;; esac
if ! good "$other"; then
    # Nowhere to go: start this one again, with its own unit and installer.
    other=$now
    if ! good "$other"; then
        say "the runtime is not up ($load, $active), and no slot has ever proved itself"
        rm -f "$count"
        exit 1
    fi
fi

say "the runtime was not up for $checks checks ($load, $active): slot $other flies"
# First the note for the record, then what takes effect: cut off in between, the next check does all of it again.
echo "$other" > "$base/fallen.part" && sync && mv "$base/fallen.part" "$base/fallen" &&
    point current "slots/$other" &&
    point agent "slots/$other/runtime" &&
    cp "$base/slots/$other/unit/$unit" "$root/etc/systemd/system/$unit.part" && sync &&
    mv "$root/etc/systemd/system/$unit.part" "$root/etc/systemd/system/$unit" && sync || exit 1
rm -f "$count"
systemctl daemon-reload
systemctl enable "$unit"
systemctl reset-failed "$unit"
systemctl restart --no-block "$unit"
