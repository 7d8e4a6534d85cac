//! Servo's ipc-channel: a channel of bytes in each direction.

use std::process::{Child, Command};

use ipc_channel::TryRecvError;
use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};

use super::{Job, Link, Seen, Wait, put_words};

/// One end of two byte channels.
pub struct IpcBytes {
    sender: IpcBytesSender,
    receiver: IpcBytesReceiver,
    wait: Wait,
    message: Vec<u8>,
}

impl IpcBytes {
    fn over(sender: IpcBytesSender, receiver: IpcBytesReceiver, job: &Job) -> IpcBytes {
        IpcBytes {
            sender,
            receiver,
            wait: job.wait,
            message: vec![0; job.words * 8],
        }
    }
}

impl Link for IpcBytes {
    const NAME: &'static str = "ipc-channel";

    fn start(job: &mut Job, mut peer: Command) -> (IpcBytes, Child) {
        let (server, name) =
            IpcOneShotServer::<(IpcBytesSender, IpcBytesReceiver)>::new().expect("a server");
        job.address = name;
        let child = peer.args(job.arguments()).spawn().expect("this binary");
        let (_, (sender, receiver)) = server.accept().expect("the child connects");
        (IpcBytes::over(sender, receiver, job), child)
    }

    fn join(job: &Job) -> IpcBytes {
        let (their_sender, receiver) = bytes_channel().expect("a channel");
        let (sender, their_receiver) = bytes_channel().expect("a channel");
        IpcSender::connect(job.address.clone())
            .and_then(|parent| {
                let ends: (IpcBytesSender, IpcBytesReceiver) = (their_sender, their_receiver);
                parent.send(ends).map_err(std::io::Error::other)
            })
            .expect("the parent listens");
        IpcBytes::over(sender, receiver, job)
    }

    fn send(&mut self, seed: u64) {
        put_words(&mut self.message, seed);
        self.sender
            .send(&self.message)
            .expect("the other process lives");
    }

    fn flush(&mut self) {}

    fn recv(&mut self) -> Seen {
        let message = match self.wait {
            Wait::Blocking => self.receiver.recv().expect("the other process lives"),
            Wait::Polling => loop {
                match self.receiver.try_recv() {
                    Ok(message) => break message,
                    Err(TryRecvError::Empty) => std::hint::spin_loop(),
                    Err(error) => panic!("receive: {error}"),
                }
            },
        };
        Seen::in_bytes(&message)
    }
}
