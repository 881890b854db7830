//! Servers that serve the directory, what reads the whole directory, and what is writing when the
//! daemon is killed.

use super::making::{PERL_GONE, SHELL};
use super::row::{Column, Language, Row, program, row};

use Column::{Damaged, Gone, KilledLast};

const NOT_FOUND: &str = "http.server answers 404 for everything that it cannot open.";

/// nginx with a configuration, a socket and files of its own.
macro_rules! nginx {
    ($fetch:literal) => {
        concat!(
            "mkdir tmp/n && { [ $(id -u) != 0 ] || echo 'user root;'
                echo 'daemon off; pid tmp/n/pid; events {}
                http { access_log off; sendfile on; client_body_temp_path tmp/n/1; proxy_temp_path tmp/n/2;
                    fastcgi_temp_path tmp/n/3; uwsgi_temp_path tmp/n/4; scgi_temp_path tmp/n/5;
                    server { listen unix:tmp/n/s; location / { root mnt; autoindex on; } } }'; } > tmp/n/conf
            nginx -p \"$PWD\" -c tmp/n/conf -e tmp/n/log 2> tmp/n/said & nginx=$!
            trap 'kill $nginx; wait $nginx; [ $status = 0 ] || grep -o \"failed (.*)\" tmp/n/log >&2' EXIT
            until [ -S tmp/n/s ]; do kill -0 $nginx || { cat tmp/n/*; exit 99; }; sleep 0.01; done
            curl -sSf --unix-socket tmp/n/s ",
            $fetch,
            "; status=$?; exit $status"
        )
    };
}

/// The web server of Python, on a free port.
macro_rules! python_server {
    ($fetch:literal) => {
        concat!(
            ": > tmp/said; python3 -u -m http.server --bind 127.0.0.1 --directory mnt 0 > tmp/said 2> tmp/log & server=$!
            trap 'kill $server; wait $server 2> tmp/end' EXIT
            until port=$(sed -n 's/.* port \\([0-9]*\\).*/\\1/p' tmp/said) && [ \"$port\" ]; do
                kill -0 $server || { cat tmp/log; exit 99; }; sleep 0.01
            done
            curl -sSf http://127.0.0.1:$port/",
            $fetch
        )
    };
}

pub const FILES: &[Row] = &[
    row(python_server!("$NAME"))
        .shown("python http.server, and curl")
        .tools(&["python3", "curl"])
        .but(&[(Damaged, "own words, exit 22", NOT_FOUND), (Gone, "own words, exit 22", NOT_FOUND)]),
    row(nginx!("http://nginx/$NAME"))
        .shown("nginx with sendfile, and curl")
        .tools(&["nginx", "curl"])
        .exit(22),
    row(nginx!("-r 1000-2999 http://nginx/$NAME"))
        .shown("nginx with sendfile, and curl -r 1000-2999")
        .tools(&["nginx", "curl"])
        .exit(22),
];

pub const DIRECTORY: &[Row] = &[
    row("ls mnt").exit(2),
    row("ls -l --time-style=+%s mnt | cut -d ' ' -f 5-7").tools(&["ls"]).exit(2),
    row("ls -f mnt | sort").tools(&["ls"]).exit(2),
    row("stat -c '%F %a' mnt"),
    row("find mnt -type f -size +100k"),
    row("find mnt -newer in/text | sort").tools(&["find"]),
    row("find mnt -type f -exec sha256sum {} + | sort").tools(&["find"]),
    row("du -ab mnt/* | sort").tools(&["du"]),
    row("df mnt | grep -cE '([0-9]+ +){3}'").tools(&["df"]),
    row("df -i mnt | grep -cE '([0-9]+ +){3}'").tools(&["df"]),
    row("stat -f -c %l mnt"),
    row("cp -r mnt tmp/copy && ls tmp/copy").tools(&["cp"]),
    row("cp -a mnt/. tmp/copy && ls -l --time-style=+%s tmp/copy | cut -d ' ' -f 5-7").tools(&["cp"]),
    row("rsync -a mnt/ tmp/copy && ls -l --time-style=+%s tmp/copy | cut -d ' ' -f 5-7")
        .tools(&["rsync"])
        .exit(23),
    row("tar -cf - -C mnt . | tar -tf - | sort").tools(&["tar"]).exit(2),
    row("(cd mnt && ls | cpio -o --quiet) | cpio -it --quiet").tools(&["cpio"]).exit(2),
    row("zip -qr tmp/z.zip mnt && unzip -l tmp/z.zip | grep -c mnt/ba").tools(&["zip", "unzip"]).but(&[(
        Gone,
        "own words, exit 12",
        "zip takes what does not answer for missing, and says that there is nothing to do.",
    )]),
    row("cp -r mnt tmp/copy && diff -r mnt tmp/copy").tools(&["diff"]),
    program(
        Language::Python,
        "for e in sorted(os.scandir('mnt'), key=lambda e: e.name): print(e.name, e.stat().st_size)",
    ),
    program(Language::Node, "for (const name of fs.readdirSync('mnt').sort()) console.log(name)"),
    program(Language::Perl, "opendir(D, 'mnt') or die $!; print \"$_\\n\" for sort readdir D")
        .but(&[PERL_GONE]),
    row(python_server!(" | grep -o '>ba[a-z0-9]*<' | sort"))
        .shown("python http.server, its list")
        .tools(&["python3", "curl"])
        .but(&[(Gone, "own words", NOT_FOUND)]),
    row(nginx!("http://nginx/ | grep -o '>baf[a-z0-9]*' | sort"))
        .shown("nginx, its autoindex")
        .tools(&["nginx", "curl"]),
];

/// Half of the bytes; when the tool has written them, the end of the daemon; then the other half, or
/// nothing more.
macro_rules! killed {
    ($tool:literal) => {
        concat!(
            "wanted=$(stat -c %s in/lines)
            feed() {
                cat in/lines
                until [ \"$(stat -c %s $F 2> tmp/not-yet)\" = $wanted ]; do sleep 0.01; done
                kill -KILL $DAEMON
                while stat $F > tmp/not-yet 2>&1; do :; done
                cat $REST
            }
            feed 2> tmp/feed | ",
            $tool
        )
    };
}

pub const DYING: &[Row] = &[
    row(killed!("cat > $F")).shown("`cat > F`").tools(&["cat"]),
    row(killed!("tee $F > tmp/copy")).shown("`tee F`").tools(&["tee"]),
    row(killed!("dd of=$F bs=64k status=none")).shown("`dd of=F`").tools(&["dd"]),
    row(killed!("cp /dev/stdin $F")).shown("`cp /dev/stdin F`").tools(&["cp"]),
    row(killed!("while read -r line; do echo $line; done > $F"))
        .shown("`while read line; do echo line; done > F`")
        .tools(&["bash"])
        .but(&[(KilledLast, "silent", SHELL)]),
    row(killed!(
        "python3 -c 'import os
f = os.open(os.environ[\"F\"], os.O_WRONLY | os.O_CREAT)
while some := os.read(0, 65536): os.write(f, some)
os.close(f)'"
    ))
    .shown("python3: `os.open`, `os.write`, `os.close`")
    .tools(&["python3"]),
    row(killed!(
        "perl -e 'open(O, \">\", $ENV{F}) or die $!;
while (sysread(STDIN, $_, 65536)) { syswrite(O, $_) or die $! }
close(O) or die $!'"
    ))
    .shown("perl: `open`, `syswrite`, `close`")
    .tools(&["perl"])
    .exit(107),
];
