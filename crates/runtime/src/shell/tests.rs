//! Scripts, and what a shell makes of them.

use crate::stage::Stage;

#[tokio::test(start_paused = true)]
async fn scripts_do_what_a_shell_makes_of_them() {
    let stage = Stage::new().await;
    let table = [
        ("echo hi", 0, "hi\n"),
        ("echo 'a  b' \"c  d\" e  f", 0, "a  b c  d e f\n"),
        ("echo $COLOUR \"$COLOUR\" '$COLOUR' ${COLOUR}ish", 0, "red red $COLOUR redish\n"),
        ("A='1 2'; echo $A \"$A\"; B=$A; echo \"$B\"", 0, "1 2 1 2\n1 2\n"),
        ("false; echo $?", 0, "1\n"),
        ("false && echo a || echo b; true && echo c", 0, "b\nc\n"),
        ("exit 7", 7, ""),
        ("echo a; exit 3; echo b", 3, "a\n"),
        ("(exit 4); echo $?", 0, "4\n"),
        ("echo a | cat | cat; echo b", 0, "a\nb\n"),
        ("yes | head -n 2", 0, "y\ny\n"),
        ("yes | head -c 1000000 | wc -c", 0, "1000000\n"),
        ("! true; echo $?", 0, "1\n"),
        ("if false; then echo a; elif true; then echo b; else echo c; fi", 0, "b\n"),
        ("i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done", 0, "0\n1\n2\n"),
        ("for x in a \"b c\"; do echo $x; done", 0, "a\nb c\n"),
        ("for x in 1 2 3; do [ $x = 2 ] && continue; [ $x = 3 ] && break; echo $x; done", 0, "1\n"),
        ("echo $(echo in; echo side) \"$(echo 1; echo 2)\"", 0, "in side 1\n2\n"),
        ("echo ${NONE:-else} ${COLOUR:+set} ${#COLOUR} ${NONE:-}.", 0, "else set 3 .\n"),
        ("echo one > /tmp/f; echo two >> /tmp/f; cat < /tmp/f; cat /tmp/f | wc -l", 0, "one\ntwo\n2\n"),
        ("echo x 2>&1 >/dev/null; { echo y >&2; } 2>&1", 0, "y\n"),
        ("export X=1; env | tail -n 1; X=2 printenv X; echo $X", 0, "X=1\n2\n1\n"),
        ("echo a # a comment\necho b", 0, "a\nb\n"),
        ("set -e; false; echo never", 1, ""),
        ("cd /tmp; pwd; cd; pwd", 0, "/tmp\n/root\n"),
        ("printf '%s-%d\\n' a 1 b 2", 0, "a-1\nb-2\n"),
        ("set -e; if false; then :; fi; false || true; echo on", 0, "on\n"),
        ("echo a b c | { read x y; echo $y $x; }", 0, "b c a\n"),
        ("eval 'echo $COLOUR'; sh -c 'echo $0 $1' name arg", 0, "red\nname arg\n"),
        ("", 0, ""),
    ];
    for (script, exit_code, stdout) in table {
        let (code, out, err) = stage.sh(script).await;
        assert_eq!((code, out.as_str()), (exit_code, stdout), "{script}: {err}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_complained_of() {
    let stage = Stage::new().await;
    let table = [
        ("nothing", 127, "sh: nothing: not found\n"),
        ("/run/secrets/token", 126, "sh: /run/secrets/token: Permission denied\n"),
        ("echo 'a", 2, "sh: unexpected end of file\n"),
        ("if true; then echo a", 2, "sh: unexpected end of file\n"),
        ("echo a )", 2, "sh: syntax error: unexpected \")\"\n"),
        ("| cat", 2, "sh: syntax error: unexpected \"|\"\n"),
        ("sleep 9 &", 2, "sh: running in the background is not supported by this shell\n"),
        ("cat /nothing", 1, "cat: /nothing: No such file or directory\n"),
        ("cat < /nothing", 1, "sh: can't open /nothing: No such file or directory\n"),
        ("echo x > /run/secrets/token", 1, "sh: can't create /run/secrets/token: Read-only file system\n"),
        ("echo $((1/0))", 2, "sh: divide by zero\n"),
        ("test 1 -eq x", 2, "test: x: bad number\n"),
    ];
    for (script, exit_code, stderr) in table {
        let (code, _, err) = stage.sh(script).await;
        assert_eq!((code, err.as_str()), (exit_code, stderr), "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_is_written_no_script_breaks_the_shell() {
    let stage = Stage::new().await;
    let deep = "(".repeat(500);
    let braces = "${a:-".repeat(500);
    let doubling = "x=aaaaaaaa; while true; do x=$x$x; done";
    let recursion = "echo 'echo . ; { { ( sh /tmp/r ) } }' > /tmp/r; sh /tmp/r";
    let environments = "env ".repeat(1000) + "true";
    for script in [&deep, &braces, "$(", "${", "$((", "\"$", "\\", "<", "2>", ">&9", "${#", "for", "$(((("] {
        assert_ne!(stage.sh(script).await.0, 0, "{script}");
    }
    assert_eq!(stage.sh(doubling).await.0, 2, "a variable has a bound");
    for script in [recursion, &environments, "echo 'x=$(. /tmp/e)' > /tmp/e; . /tmp/e"] {
        assert_eq!(stage.sh(script).await.0, 2, "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shell_reads_its_commands_from_its_input() {
    let stage = Stage::new().await;
    let script = b"echo a\nif true\nthen echo b; fi\ncat\nthis goes to cat\n";
    let outcome = stage.exec(&["sh"], script).await.unwrap();
    assert_eq!(outcome, (0, "a\nb\nthis goes to cat\n".to_owned(), String::new()));
    let outcome = stage.exec(&["/bin/sh"], b"echo a; exit 5\necho b\n").await.unwrap();
    assert_eq!(outcome, (5, "a\n".to_owned(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_waits_for_nothing_does_not_stop_the_clock() {
    let stage = Stage::new().await;
    for script in ["while true; do :; done", "yes > /dev/null", "cat /dev/zero > /dev/null"] {
        let running = stage.sh(script);
        let ended = tokio::time::timeout(std::time::Duration::from_secs(1), running).await;
        assert!(ended.is_err(), "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_has_no_more_memory_than_it_may() {
    let stage = Stage::new().await;
    let big = "x=$(yes | head -c 900000)";
    let script = format!("{big}; echo \"$x$x$(echo ran > /tmp/ran)\"");
    assert_eq!(stage.sh(&script).await, (2, String::new(), "sh: argument list too long\n".to_owned()));
    assert_eq!(stage.sh("ls /tmp").await.1, "", "what is too long is found out on the way");
    for one_more in ["c=$x", "export c=\"$x\"", "for c in \"$x\"; do :; done", "echo ${c=$x}"] {
        let script = format!("{big}; a=$x; export a; {one_more}; echo never");
        assert_eq!(
            stage.sh(&script).await,
            (2, String::new(), "sh: out of memory\n".to_owned()),
            "{one_more}"
        );
    }
    let pipeline = "true | ".repeat(300) + "true";
    let outcome = stage.sh(&pipeline).await;
    assert_eq!((outcome.0, outcome.2.as_str()), (2, "sh: can't fork: Resource temporarily unavailable\n"));
}

#[tokio::test(start_paused = true)]
async fn reading_without_end_does_not_stop_the_clock() {
    let stage = Stage::new().await;
    for script in ["sha256sum /dev/zero", "wc -c /dev/zero", "tail -n 1 /dev/urandom"] {
        let ended = tokio::time::timeout(std::time::Duration::from_millis(30), stage.sh(script)).await;
        assert!(ended.is_err(), "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_without_end_is_not_read_anew_for_ever() {
    let stage = Stage::new().await;
    let whole = format!("{}if true; then\n{}fi\n", ":\n".repeat(1000), ":\n".repeat(200));
    assert_eq!(stage.exec(&["sh"], whole.as_bytes()).await.unwrap().0, 0, "what is whole is forgotten");
    for unfinished in ["if true; then\n", "echo $(\n", "for x in a; do\n"] {
        let script = format!("{unfinished}{}", ":\n".repeat(8000));
        let outcome = stage.exec(&["sh"], script.as_bytes()).await.unwrap();
        assert_eq!((outcome.0, outcome.2.as_str()), (2, "sh: command too long\n"), "{unfinished}");
    }
}
