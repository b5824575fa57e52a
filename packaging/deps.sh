#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what building and running Eigenscope needs on Debian 12 and its relatives; only what is missing, so a second
# run does nothing. As root, or with sudo.
set -euo pipefail

packages=(
    build-essential cmake ninja-build git ca-certificates pkg-config
    qt6-base-dev qt6-svg-dev libgl1-mesa-dev qt6-qpa-plugins libqt6svg6 fonts-dejavu-core fonts-inter
    libqcustomplot-dev
    libhwy-dev libdnnl-dev libeigen3-dev libsentencepiece-dev
    nlohmann-json3-dev libcli11-dev libfmt-dev libpcre2-dev libicu-dev zlib1g-dev
)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: not a Debian system; what Debian calls these packages has to be there: ${packages[*]}" >&2
    exit 0  # the build says what it misses
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps.sh: these packages are missing, and installing them needs root or sudo: ${missing[*]}" >&2
        exit 1
    fi
    root=(sudo)
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
"${root[@]}" apt-get update -q
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
