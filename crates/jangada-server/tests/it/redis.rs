//! Commands and their replies, as Redis 7.0 gives them. In the tables a space in a reply stands for a line end and
//! an underscore for a space.

use jangada_kv::Millis;

use crate::client::Client;
use crate::core::lock;

#[tokio::test(start_paused = true)]
async fn strings() {
    let mut client = Client::new();
    client
        .check(&[
            ("GET d", "$-1"),
            ("SET d 8", "+OK"),
            ("GET d", "$1 8"),
            ("set d 9 NX", "$-1"),
            ("SET d 9 XX GET", "$1 8"),
            ("SET e 1 XX", "$-1"),
            ("SET e 1 NX GET", "$-1"),
            ("SETNX e 2", ":0"),
            ("SETNX f 2", ":1"),
            ("GETSET f 3", "$1 2"),
            ("MGET d nothing e", "*3 $1 9 $-1 $1 1"),
            ("MSET a 1 b 2", "+OK"),
            ("EXISTS a b a nothing", ":3"),
            ("TOUCH a nothing", ":1"),
            ("DEL a nothing", ":1"),
            ("UNLINK b", ":1"),
            ("INCR n", ":1"),
            ("INCRBY n 41", ":42"),
            ("DECR n", ":41"),
            ("DECRBY n 1", ":40"),
            ("APPEND n x", ":3"),
            ("INCR n", "-ERR_value_is_not_an_integer_or_out_of_range"),
            ("STRLEN n", ":3"),
            ("STRLEN nothing", ":0"),
            ("GETRANGE n -2 -1", "$2 0x"),
            ("SUBSTR nothing 0 -1", "$0 "),
            ("GETDEL n", "$3 40x"),
            ("GETDEL n", "$-1"),
            ("SET max 9223372036854775807", "+OK"),
            ("INCR max", "-ERR_increment_or_decrement_would_overflow"),
            ("DECRBY max -9223372036854775808", "-ERR_decrement_would_overflow"),
            ("TYPE max", "+string"),
            ("TYPE nothing", "+none"),
            ("DBSIZE", ":4"),
            ("FLUSHALL ASYNC", "+OK"),
            ("DBSIZE", ":0"),
            ("SET \"\" empty", "+OK"),
            ("GET \"\"", "$5 empty"),
            ("SET empty \"\"", "+OK"),
            ("GET empty", "$0 "),
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn time_to_live() {
    let mut client = Client::new();
    client
        .check(&[
            ("SET k v EX 100", "+OK"),
            ("TTL k", ":100"),
            ("PTTL k", ":100000"),
            ("SET k v KEEPTTL", "+OK"),
            ("TTL k", ":100"),
            ("GETEX k PERSIST", "$1 v"),
            ("TTL k", ":-1"),
            ("TTL nothing", ":-2"),
            ("EXPIRETIME k", ":-1"),
            ("PEXPIRETIME nothing", ":-2"),
            ("EXPIRE k 10 XX", ":0"),
            ("EXPIRE k 10", ":1"),
            ("EXPIRE k 5 GT", ":0"),
            ("PEXPIRE k 5000 LT", ":1"),
            ("PTTL k", ":5000"),
            ("PERSIST k", ":1"),
            ("PERSIST k", ":0"),
            ("PSETEX k 1500 v", "+OK"),
            ("TTL k", ":2"),
            ("EXPIREAT k 1", ":1"),
            ("EXISTS k", ":0"),
            ("SETEX k 1 v", "+OK"),
            ("SET past v EXAT 1", "+OK"),
            ("GET past", "$-1"),
        ])
        .await;
    lock(&client.core).now = Millis(1_001_000);
    client.check(&[("SET clock 1", "+OK"), ("GET k", "$-1"), ("TTL k", ":-2")]).await;
}

#[tokio::test(start_paused = true)]
async fn a_point_of_time_is_given_back_as_it_was() {
    let mut client = Client::new();
    client
        .check(&[("SET k v EXAT 33177117420", "+OK"), ("EXPIRETIME k", ":33177117420"), ("TTL none", ":-2")])
        .await;
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_as_redis_tells_them() {
    let mut client = Client::new();
    client
        .check(&[
            ("NOSUCH a b", "-ERR_unknown_command_'NOSUCH',_with_args_beginning_with:_'a'_'b'_"),
            ("GET", "-ERR_wrong_number_of_arguments_for_'get'_command"),
            ("GET a b", "-ERR_wrong_number_of_arguments_for_'get'_command"),
            ("MSET a 1 b", "-ERR_wrong_number_of_arguments_for_'mset'_command"),
            ("SET a b FOO", "-ERR_syntax_error"),
            ("SET a b EX x", "-ERR_value_is_not_an_integer_or_out_of_range"),
            ("SETEX a 0 b", "-ERR_invalid_expire_time_in_'setex'_command"),
            ("EXPIRE a 9223372036854775807", "-ERR_invalid_expire_time_in_'expire'_command"),
            ("EXPIRE a 1 FOO", "-ERR_Unsupported_option_FOO"),
            ("GETEX a PERSIST EX 1", "-ERR_syntax_error"),
            ("INCRBY a 01", "-ERR_value_is_not_an_integer_or_out_of_range"),
            ("SCAN x", "-ERR_invalid_cursor"),
            ("FLUSHALL now", "-ERR_syntax_error"),
            ("SELECT 1", "-ERR_DB_index_is_out_of_range"),
            ("SELECT x", "-ERR_value_is_not_an_integer_or_out_of_range"),
            ("PING a b", "-ERR_wrong_number_of_arguments_for_'ping'_command"),
            ("AUTH user secret", "-WRONGPASS_invalid_username-password_pair_or_user_is_disabled."),
            ("CLIENT FOO", "-ERR_unknown_subcommand_'FOO'._Try_CLIENT_HELP."),
            ("CLIENT SETNAME", "-ERR_wrong_number_of_arguments_for_'client|setname'_command"),
            ("CONFIG SET a b", "-ERR_unknown_subcommand_'SET'._Try_CONFIG_HELP."),
        ])
        .await;
    client
        .check(&[(
            "AUTH secret",
            "-ERR_AUTH_<password>_called_without_any_password_configured_for_the_default_user._Are_you_sure_your_\
             configuration_is_correct?",
        )])
        .await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_whole_and_page_by_page() {
    let mut client = Client::new();
    client
        .check(&[
            ("MSET a1 x a2 x b1 x", "+OK"),
            ("KEYS a*", "*2 $2 a1 $2 a2"),
            ("KEYS ?1", "*2 $2 a1 $2 b1"),
            ("SCAN 0 MATCH b* COUNT 100", "*2 $1 0 *1 $2 b1"),
            ("SCAN 0 COUNT 100 TYPE list", "*2 $1 0 *0"),
        ])
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_itself() {
    let mut client = Client::new();
    client
        .check(&[
            ("PING", "+PONG"),
            ("PING hi", "$2 hi"),
            ("ECHO hi", "$2 hi"),
            ("SELECT 0", "+OK"),
            ("CLIENT ID", ":1"),
            ("CLIENT GETNAME", "$-1"),
            ("CLIENT SETNAME me", "+OK"),
            ("CLIENT GETNAME", "$2 me"),
            ("CLIENT SETINFO lib-name x", "+OK"),
            ("CONFIG GET nothing", "*0"),
            ("CONFIG GET save appendonly", "*4 $10 appendonly $3 yes $4 save $0 "),
            ("COMMAND COUNT", ":54"),
            (
                "COMMAND INFO nosuch get",
                "*2 *-1 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@fast +@string *0 *0 *0",
            ),
            ("RESET", "+RESET"),
            ("CLIENT GETNAME", "$-1"),
            ("HELLO 4", "-NOPROTO_unsupported_protocol_version"),
            ("HELLO x", "-ERR_Protocol_version_is_not_an_integer_or_out_of_range"),
            ("HELLO 3 FOO", "-ERR_Syntax_error_in_HELLO_option_'FOO'"),
        ])
        .await;
    client.send(b"*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n").await;
    client.finish().await;
    assert_eq!(client.rest().await, "+OK\r\n", "nothing after QUIT is answered");
}

#[tokio::test(start_paused = true)]
async fn version_three_has_its_own_types() {
    let mut client = Client::new();
    let hello = "%7 $6 server $5 redis $7 version $6 7.0.15 $5 proto :3 $2 id :1 $4 mode $10 standalone $4 role \
                 $6 master $7 modules *0";
    client.check(&[("HELLO 3 SETNAME me", hello)]).await;
    client.send(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n").await;
    client.expect("_\r\n").await;
    client.check(&[("CLIENT GETNAME", "$2 me"), ("CONFIG GET save", "%1 $4 save $0 ")]).await;
    client.send(b"*2\r\n$4\r\nINFO\r\n$4\r\nraft\r\n").await;
    client.expect("=").await;
}

#[tokio::test(start_paused = true)]
async fn info_tells_what_the_server_knows() {
    let mut client = Client::new();
    client.send("PING\r\nINFO\r\nQUIT\r\n").await;
    let text = client.rest().await;
    for line in ["# Server", "redis_version:7.0.15", "raft_role:follower", "raft_leader:n1", "tcp_port:2379"]
    {
        assert!(text.contains(&format!("{line}\r\n")), "{line} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_frame_is_told_and_ends_the_connection() {
    for (frame, told) in [
        ("*1\r\nfoo\r\n", "-ERR Protocol error: expected '$', got 'f'\r\n"),
        ("*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1\r\n$4\r\nPING\r\nGET \"x\r\n", "+PONG\r\n-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        let mut client = Client::new();
        client.send(frame).await;
        assert_eq!(client.rest().await, told, "{frame:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_commands_are_passed_over() {
    let mut client = Client::new();
    client.send(b"*0\r\n*-1\r\n\r\n   \r\n*1\r\n$4\r\nPING\r\n").await;
    client.expect("+PONG\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_hung_up_on() {
    for line in ["POST /x y\r\n", "host: localhost\r\n"] {
        let mut client = Client::new();
        client.send(line).await;
        assert_eq!(client.rest().await, "");
    }
}
